/** Servers of netquic/net on a port of a quic host. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { text } from "node:stream/consumers";
import { connect, createServer, type QuicServer } from "#src/api/net/index.js";
import { testCa, testLeaf } from "../api/support.js";
import { TestHost } from "./support.js";

const ADDRESS = "127.0.0.1";
const leaf = testLeaf();

function serverOf(host: TestHost, name: string): QuicServer {
  const server = createServer(
    { cert: leaf.cert, key: leaf.key, ALPNProtocols: [name], quic: { ext: { host: host.path } } },
    (socket) => socket.end(name),
  );
  return server.listen(host.port, ADDRESS);
}

const ask = (host: TestHost, name: string): Promise<string> =>
  text(connect({ port: host.port, host: ADDRESS, servername: "localhost", ca: testCa().cert, ALPNProtocols: [name] }));

describe("netquic/net behind a quic host", () => {
  test("two servers share a port by their protocols; one that wants a name that is taken hears EADDRINUSE", async () => {
    using host = await new TestHost().start({ places: [{ address: ADDRESS, port: 0, ipv6Only: false }] });
    const [one, other] = [serverOf(host, "one"), serverOf(host, "other")];
    await Promise.all([once(one, "listening"), once(other, "listening")]);
    assert.deepEqual(await Promise.all([ask(host, "one"), ask(host, "other")]), ["one", "other"]);
    const [error] = await once(serverOf(host, "one"), "error");
    assert.equal((error as { code: string }).code, "EADDRINUSE");
    one.close();
    await once(one, "close");
    const next = serverOf(host, "one");
    await once(next, "listening");
    assert.equal(await ask(host, "one"), "one");
    for (const server of [next, other]) server.close();
    await Promise.all([once(next, "close"), once(other, "close")]);
  });

  test("a server that is closed before the host has agreed is closed, and its name free", async () => {
    using host = await new TestHost().start({ places: [{ address: ADDRESS, port: 0, ipv6Only: false }] });
    const server = serverOf(host, "one");
    server.close();
    await once(server, "close");
    const next = serverOf(host, "one");
    await once(next, "listening");
    next.close();
    await once(next, "close");
  });

  test("where no host answers, the server says so", async () => {
    const server = createServer({ cert: leaf.cert, key: leaf.key, quic: { ext: { host: "/nonexistent/host.sock" } } });
    const [error] = await once(server.listen(0, ADDRESS), "error");
    assert.equal((error as { code: string }).code, "ENOENT");
  });
});
