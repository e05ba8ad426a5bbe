/**
 * Small programs that tests run in a process of their own: `server` says where it listens and echoes until it is killed;
 * `whole` serves itself a transfer, closes, and must then end by itself; `client ADDRESS` trusts the default store only.
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

async function ask(address: string): Promise<void> {
  const session = await connect(address, { alpn: ALPN });
  const alert = await session.opened.then(
    () => 0,
    (error: { alert: number }) => error.alert,
  );
  process.stdout.write(`${JSON.stringify({ alert })}\n`);
  session.destroy();
}

const [, , role, how = ""] = process.argv;
if (role === "server") await serve();
else if (role === "client") await ask(how);
else await whole(how);
