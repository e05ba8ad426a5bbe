/**
 * Small programs that tests run in a process of their own: `server` says where it listens and echoes until it is killed;
 * `whole` serves itself a transfer, closes, and must then end by itself; `client ADDRESS HASH BYTES` downloads.
 */

import { connect, listen } from "#src/api/quic/index.js";
import { ALPN, content, echo, readAll, sha256 } from "./support.js";

async function serve(): Promise<void> {
  const endpoint = await listen(echo, { alpn: [ALPN], ext: { devCertificate: true } });
  const { port } = endpoint.address ?? { port: 0 };
  process.stdout.write(`${JSON.stringify({ port, hash: endpoint.ext.devCertificate?.fingerprint256 })}\n`);
}

async function whole(how: string): Promise<void> {
  const endpoint = await listen(echo, { alpn: [ALPN], ext: { devCertificate: true } });
  const value = endpoint.ext.devCertificate?.fingerprint256 ?? "";
  const session = await connect(`localhost:${endpoint.address?.port}`, {
    alpn: ALPN,
    ext: { serverCertificateHashes: [{ value }] },
  });
  const body = content(1_000_000);
  const stream = await session.createBidirectionalStream({ body });
  const same = sha256(await readAll(stream)) === sha256(body);
  process.stdout.write(`${JSON.stringify({ same })}\n`);
  if (how === "destroy") {
    session.destroy();
    endpoint.destroy();
    return;
  }
  await session.close();
  await endpoint.close();
}

const [, , role, how = ""] = process.argv;
if (role === "server") await serve();
else await whole(how);
