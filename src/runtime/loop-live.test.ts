/** The whole of it: two endpoints, real TLS, real UDP on loopback, over both datapaths. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { ADDR_COLS, type UdpSocket } from "../port/udp.js";
import type { TlsContext } from "../port/tls.js";
import { type CloseInfo, type HandshakeInfo, STREAM_BIDI, type TransportHandler } from "../port/transport.js";
import { setAddressRow, wordsToAddress } from "./address.js";
import { chooseDatapath, type Datapath } from "./choose.js";
import { chooseTls } from "./choose-tls.js";
import { type Connection, EndpointHost, type HostOwner } from "./loop.js";
import { devCertificate } from "./native/x509.js";

const tls = chooseTls(process.env);
const { cert, key } = devCertificate({ hosts: ["localhost"] });

function serverTls(): TlsContext {
  return tls.newServerContext({ alpn: ["live"], identities: { "*": { cert, key } } });
}

function clientTls(): TlsContext {
  return tls.newClientContext({ alpn: ["live"], serverName: "localhost", verify: "strict", ca: [cert] });
}

/** One side of a transfer: sends `send` on the stream once it is there, collects what comes, ends when both are done. */
class Side implements TransportHandler {
  readonly received: Uint8Array;
  receivedBytes = 0;
  sentBytes = 0;
  handshake: HandshakeInfo | null = null;
  closeInfo: CloseInfo | null = null;
  private readonly waiting: (() => void)[] = [];

  constructor(
    readonly conn: Connection,
    private readonly send: Uint8Array,
    expectBytes: number,
  ) {
    this.received = new Uint8Array(expectBytes);
  }

  onHandshake(info: HandshakeInfo): void {
    this.handshake = info;
    if (!this.conn.isServer) this.push(this.conn.open(STREAM_BIDI));
  }
  onStream(id: number): void {
    this.push(id);
  }
  onReadable(id: number): void {
    for (;;) {
      const count = this.conn.read(id, this.received, this.receivedBytes, this.received.length);
      if (count <= 0) break;
      this.receivedBytes += count;
    }
  }
  onWritable(id: number): void {
    this.push(id);
  }
  onClosed(info: CloseInfo): void {
    this.closeInfo = info;
  }
  onStreamClosed(): void {}
  onHandshakeConfirmed(): void {}
  onReset(): void {}
  onStopSending(): void {}
  onSendDone(): void {}
  onStreamsAvailable(): void {}
  onTicket(): void {}
  onNewToken(): void {}
  onDatagram(): void {}
  onDatagramFate(): void {}
  onPathValidation(): void {}
  onKeylog(): void {}

  /** After each drain. */
  settle(): void {
    if (this.done || this.closeInfo !== null) for (const resolve of this.waiting.splice(0)) resolve();
  }

  get done(): boolean {
    return this.sentBytes === this.send.length && this.receivedBytes === this.received.length;
  }

  finished(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.settle();
    });
  }

  private push(id: number): void {
    while (this.sentBytes < this.send.length) {
      const count = this.conn.write(id, this.send, this.sentBytes, this.send.length, true);
      if (count <= 0) return;
      this.sentBytes += count;
    }
  }
}

class Owner implements HostOwner {
  readonly sides = new Map<Connection, Side>();
  readonly errors: Error[] = [];
  constructor(private readonly onConn: (conn: Connection) => Side) {}

  onAccept(conn: Connection): void {
    this.sides.set(conn, this.onConn(conn));
  }
  onEvents(conn: Connection): void {
    const side = this.sides.get(conn);
    assert.ok(side !== undefined);
    conn.drain(side);
    side.settle();
  }
  onError(error: Error): void {
    this.errors.push(error);
  }
}

function bytes(count: number, seed: number): Uint8Array {
  return new Uint8Array(count).map((_, i) => (i * seed) >> 3);
}

/** The server binds `bind` and the client goes to `address`; each datagram to the client has to come from there. */
async function transfer(datapath: Datapath, address: string, sizeBytes: number, bind = address): Promise<void> {
  const up = bytes(sizeBytes, 13);
  const down = bytes(sizeBytes, 29);
  const serverOwner = new Owner((conn) => new Side(conn, down, up.length));
  const clientOwner = new Owner(() => assert.fail("a client accepts nothing"));
  const server = await EndpointHost.open({ udp: { address: bind, port: 0 }, datapath }, serverOwner);
  const own = address === "127.0.0.2" ? "127.0.0.1" : address;
  const client = await EndpointHost.open({ udp: { address: own, port: 0 }, datapath }, clientOwner);
  const origins = watchOrigins(client.socket);
  try {
    server.endpoint.listen({ tls: serverTls() });
    const remote = new Int32Array(ADDR_COLS);
    assert.ok(setAddressRow(remote, 0, address, server.socket.port));
    const conn = client.endpoint.connect({ tls: clientTls(), serverName: "localhost", remote }, client.now());
    const here = new Side(conn, up, down.length);
    clientOwner.sides.set(conn, here);
    await here.finished();
    const [there] = serverOwner.sides.values();
    assert.ok(there !== undefined);
    await there.finished();
    assert.equal(here.handshake?.alpn, "live");
    assert.ok(
      here.done && there.done,
      JSON.stringify(here.closeInfo ?? there.closeInfo, (_, v) => String(v)),
    );
    assert.equal(Buffer.compare(here.received, down), 0);
    assert.equal(Buffer.compare(there.received, up), 0);
    conn.close("application", 7n, "enough");
    there.conn.abandon();
    assert.deepEqual([...origins], [address]);
  } finally {
    client.close();
    server.close();
  }
  assert.deepEqual([...serverOwner.errors, ...clientOwner.errors], []);
}

/** The addresses that datagrams come from. */
function watchOrigins(socket: UdpSocket): Set<string> {
  const origins = new Set<string>();
  const recv = socket.recv.bind(socket);
  socket.recv = (rx) => {
    const count = recv(rx);
    for (let row = 0; row < rx.sourceCount; row++) origins.add(wordsToAddress(rx.sources, row * ADDR_COLS));
    return count;
  };
  return origins;
}

describe("endpoints over real sockets", { timeout: 120_000 }, () => {
  for (const name of ["native", "portable"]) {
    for (const address of ["127.0.0.1", "::1"]) {
      test(`two megabytes each way at once, ${name} over ${address}`, () =>
        transfer(chooseDatapath({ NETQUIC_DATAPATH: name }), address, 2_000_000));
    }
  }

  for (const [udp, aead] of [
    ["native", "node:crypto"],
    ["portable", "openssl-evp"],
  ] as const) {
    test(`UDP and packet protection are chosen apart: ${udp} with ${aead}`, () => {
      const datapath = chooseDatapath({ NETQUIC_DATAPATH: udp, NETQUIC_AEAD: aead });
      assert.deepEqual([datapath.udp.name, datapath.aead.name], [udp, aead]);
      return transfer(datapath, "127.0.0.1", 300_000);
    });
  }

  for (const bind of ["0.0.0.0", "::"]) {
    test(`RFC 9000 §9 a server on ${bind} answers from the address that was asked`, () =>
      transfer(chooseDatapath({ NETQUIC_DATAPATH: "native" }), "127.0.0.2", 300_000, bind));
  }

  test("a port in use is the system's error", async () => {
    const datapath = chooseDatapath();
    const owner = new Owner(() => assert.fail("no connection"));
    const first = await EndpointHost.open({ udp: { address: "127.0.0.1", port: 0 }, datapath }, owner);
    const udp = { address: "127.0.0.1", port: first.socket.port };
    await assert.rejects(EndpointHost.open({ udp, datapath }, owner), { code: "EADDRINUSE" });
    first.close();
  });

  test("an unreferenced host with a connection that waits for its peer lets the process end", () => {
    const here = (file: string): string => JSON.stringify(import.meta.resolve(file));
    const script = `
      const { EndpointHost } = await import(${here("./loop.js")});
      const { chooseDatapath } = await import(${here("./choose.js")});
      const { setAddressRow } = await import(${here("./address.js")});
      const tls = (await import(${here("./choose-tls.js")})).chooseTls(process.env);
      const owner = { onAccept() {}, onEvents() {}, onError() {} };
      const host = await EndpointHost.open({ udp: { address: "127.0.0.1", port: 0 }, datapath: chooseDatapath() }, owner);
      const remote = new Int32Array(10);
      setAddressRow(remote, 0, "127.0.0.1", 9);
      host.endpoint.connect({ tls: tls.newClientContext({ alpn: ["live"], serverName: "a", verify: "strict" }), remote }, host.now());
      host.unref();
      process.on("exit", () => console.log("ended", host.endpoint.connectionCount));`;
    const child = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      encoding: "utf8",
      timeout: 60_000,
    });
    assert.equal(child.stdout.trim(), "ended 1", child.stderr);
  });
});
