/** port/tls as message passing: TLS in another process. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { TlsProvider } from "#src/port/tls.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { Pair } from "#src/runtime/native/tls-pair.contract.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { type ProcessTls, processTls } from "../support/tls-process.js";

const identity = devCertificate({ hosts: ["localhost"] });
const CLIENT_PARAMS = Uint8Array.of(1, 2, 0x40, 0x64);
const SERVER_PARAMS = Uint8Array.of(3, 2, 0x45, 0xac);

function pairOf(clientTls: TlsProvider, serverTls: TlsProvider, ca: string[] = [identity.cert]): Pair {
  const client = clientTls.newClientContext({ alpn: ["h3"], ca, serverName: "localhost", verify: "strict" });
  const server = serverTls.newServerContext({ alpn: ["h3"], identities: { "*": identity } });
  return new Pair(
    client.newSession({ transportParams: CLIENT_PARAMS }),
    server.newSession({ transportParams: SERVER_PARAMS }),
  );
}

describe("TLS in another process", () => {
  const local = chooseTls(process.env);
  let remote: ProcessTls;

  before(async () => {
    remote = await processTls();
  });
  after(() => remote.stop());

  for (const [name, client, server] of [
    ["client and server there", () => remote, () => remote],
    ["client there, server here", () => remote, () => local],
    ["client here, server there", () => local, () => remote],
  ] as const) {
    test(`handshakes: ${name}`, async () => {
      assert.notEqual(remote.pid, process.pid);
      const pair = pairOf(client(), server());
      const infos = await pair.handshake(1);
      assert.equal(infos.client.alpn, "h3");
      assert.equal(infos.client.peerCertificates.length, 1);
      assert.deepEqual(pair.client.of("peer-params").at(-1)?.bytes, SERVER_PARAMS);
      assert.deepEqual(pair.server.of("peer-params").at(-1)?.bytes, CLIENT_PARAMS);
      const written = pair.client.of("secret").filter((secret) => secret.direction === "write");
      const read = pair.server.of("secret").filter((secret) => secret.direction === "read");
      assert.deepEqual(
        written.map((secret) => secret.secret),
        read.map((secret) => secret.secret),
      );
      pair.close();
    });
  }

  test("a failure comes back as the one alert", async () => {
    const pair = pairOf(remote, remote, []);
    assert.equal((await pair.failure("client")).alert, 48);
    pair.close();
  });

  test("a context that cannot be made fails its sessions, not the process", async () => {
    const pair = pairOf(remote, local, ["no PEM"]);
    const { alert, message } = await pair.failure("client");
    assert.equal(alert, 80);
    assert.match(message, /\{ca\} is not PEM/);
    pair.close();
    const next = pairOf(remote, local);
    await next.handshake();
    next.close();
  });
});
