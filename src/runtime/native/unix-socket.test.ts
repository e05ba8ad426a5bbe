import assert from "node:assert/strict";
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ADDR_LOCAL_IP0, ADDR_PORT, TX_COLS, type UdpSocket } from "../../port/udp.js";
import { newRxBatch, newTxBatch } from "../batch.js";
import { openMember, openSenders, steerMembers } from "./udp-member.js";
import { adoptUdp, nativeUdp, udpDescriptor } from "./udp.js";
import { closeFd, connectUnix, UnixListener, type UnixSocket } from "./unix-socket.js";
import { addressToWords, setAddressRow, wordsToAddress } from "../address.js";

const LIMITS = { maxMessageBytes: 4096, maxQueuedBytes: 8 * 1024 };

/** Two ends of one connection, with what each was told. */
class Pair {
  readonly dir = mkdtempSync(join(tmpdir(), "nq-"));
  readonly path = join(this.dir, "s");
  readonly messages: { text: string; fds: readonly number[] }[] = [];
  readonly closed: (Error | null)[] = [];
  readonly listener: UnixListener;
  readonly client: UnixSocket;
  server: UnixSocket | null = null;

  constructor(onListen = (_pair: Pair): void => {}) {
    this.listener = new UnixListener(this.path, LIMITS, (socket) => {
      this.server = socket;
      socket.start({
        onMessage: (bytes, fds) => this.messages.push({ text: Buffer.from(bytes).toString(), fds }),
        onClosed: (error) => this.closed.push(error),
      });
    });
    onListen(this);
    this.client = connectUnix(this.path, LIMITS);
  }

  async until(what: () => boolean): Promise<void> {
    for (let i = 0; i < 6000 && !what(); i++) await sleep(5);
    assert.ok(what());
  }

  [Symbol.dispose](): void {
    this.client.close();
    this.server?.close();
    this.listener.close();
    rmSync(this.dir, { recursive: true });
  }
}

describe("SOCK_SEQPACKET sockets", () => {
  test("messages keep their borders, and a peer that goes is told once", async () => {
    using pair = new Pair();
    for (const text of ["one", "two", "x".repeat(4096)]) pair.client.send(Buffer.from(text));
    pair.client.close();
    await pair.until(() => pair.closed.length > 0);
    assert.deepEqual(
      pair.messages.map(({ text }) => text),
      ["one", "two", "x".repeat(4096)],
    );
    assert.deepEqual(pair.closed, [null]);
  });

  test("the peer's credentials are the kernel's, and the socket file is its owner's alone", async () => {
    using pair = new Pair();
    await pair.until(() => pair.server !== null);
    assert.deepEqual(pair.server?.peer, { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
    assert.equal(statSync(pair.path).mode & 0o777, 0o600);
  });

  test("a message larger than the limit ends the connection", async () => {
    using pair = new Pair();
    pair.client.send(new Uint8Array(4097));
    await pair.until(() => pair.closed.length > 0);
    assert.equal((pair.closed[0] as { code?: string } | null)?.code, "EMSGSIZE");
  });

  test("a peer that does not read is given up at the limit of its queue", async () => {
    using pair = new Pair();
    await pair.until(() => pair.server !== null);
    const message = new Uint8Array(4096);
    let sent = 0;
    while (sent < 10_000 && pair.server?.send(message) === true) sent++;
    assert.ok(sent < 10_000);
    assert.equal(pair.server?.isOpen, false);
    await pair.until(() => pair.closed.length === 1);
  });

  test("what waited for room arrives, in order", async () => {
    using pair = new Pair();
    await pair.until(() => pair.server !== null);
    const { server } = pair;
    let sent = 0;
    while (server?.queuedBytes === 0) server.send(Buffer.from(String(sent++).padEnd(4096)));
    const got: number[] = [];
    pair.client.start({ onMessage: (bytes) => got.push(Number(Buffer.from(bytes).toString())), onClosed: () => {} });
    await pair.until(() => got.length === sent);
    assert.deepEqual(
      got,
      Array.from({ length: sent }, (_, i) => i),
    );
    assert.equal(server?.queuedBytes, 0);
  });

  test("a path of more than 107 bytes is refused", () => {
    const path = join(tmpdir(), "x".repeat(108));
    assert.throws(() => new UnixListener(path, LIMITS, () => {}), { code: "ENAMETOOLONG" });
    assert.throws(() => connectUnix(path, LIMITS), { code: "ENAMETOOLONG" });
  });
});

describe("members of a shared UDP port", () => {
  const newHandler = (onReadable: () => void) => ({ onReadable, onWritable: () => {}, onError: () => {} });

  function send(from: UdpSocket, port: number, datagrams: readonly Uint8Array[]): void {
    const tx = newTxBatch();
    for (const bytes of datagrams) {
      tx.buf.set(bytes, tx.used);
      tx.rows.set([tx.used, bytes.length, 0, 0, 0], tx.count++ * TX_COLS);
      tx.used += bytes.length;
    }
    setAddressRow(tx.dests, 0, "127.0.0.1", port);
    tx.destCount = 1;
    from.send(tx);
  }

  test("short headers go to the member of their route, all else to the first, also past a socket passed on", async () => {
    using pair = new Pair();
    const counts = [0, 0, 0];
    const sockets: UdpSocket[] = [];
    const take = (i: number) => () => {
      counts[i] = (counts[i] as number) + (sockets[i] as UdpSocket).recv(newRxBatch());
    };
    const first = await nativeUdp.open({ address: "127.0.0.1", port: 0, reusePort: true }, newHandler(take(0)));
    sockets.push(first);
    const { fd, port } = openMember({ address: "127.0.0.1", port: first.port });
    assert.equal(port, first.port);
    const [mute] = openSenders({ address: "127.0.0.1", port: first.port }) as [number];
    steerMembers(udpDescriptor(first), new Map([[7, 1]]));

    pair.client.send(Buffer.from("take them"), [fd, mute]);
    await pair.until(() => pair.messages.length > 0);
    closeFd(fd);
    closeFd(mute);
    const [passed, passedMute] = (pair.messages[0] as { fds: readonly number[] }).fds;
    sockets.push(adoptUdp(passed as number, false, newHandler(take(1))));
    sockets.push(adoptUdp(passedMute as number, false, newHandler(take(2))));
    assert.equal((sockets[1] as UdpSocket).port, first.port);
    assert.equal((sockets[1] as UdpSocket).address, "127.0.0.1");

    let answered = 0;
    const client = await nativeUdp.open(
      { address: "127.0.0.1", port: 0 },
      newHandler(() => {
        const rx = newRxBatch();
        answered += client.recv(rx);
        assert.equal(rx.sources[ADDR_PORT], first.port);
      }),
    );
    // each alone: the kernel picks one member for a whole train
    const datagrams = [Uint8Array.of(0x40, 7, 0), Uint8Array.of(0x40, 8), Uint8Array.of(0xc0, 7), Uint8Array.of(0)];
    for (const datagram of datagrams) send(client, first.port, [datagram]);
    await pair.until(() => counts[0] === 3 && counts[1] === 1);
    assert.equal(counts[2], 0);
    // who can only send sends from the port
    send(sockets[2] as UdpSocket, client.port, [Uint8Array.of(1, 2, 3)]);
    await pair.until(() => answered === 1);
    for (const socket of [...sockets, client]) socket.close();
  });
});

describe("sockets that only send from a shared UDP port", () => {
  for (const [address, family, local] of [
    ["0.0.0.0", 0, "127.0.0.1"],
    ["::", 1, "127.0.0.1"],
    ["::", 0, "::1"],
  ] as const) {
    test(`${address} to ${local}: they leave from the address of the route, or from the one that is named`, async (t) => {
      const ignore = { onReadable: () => {}, onWritable: () => {}, onError: () => {} };
      const port = await nativeUdp.open({ address, port: 0, reusePort: true }, ignore);
      const receiver = await nativeUdp.open({ address: local, port: 0 }, ignore);
      const fds = openSenders({ address, port: port.port });
      const senders = fds.map((fd) => adoptUdp(fd, false, ignore));
      t.after(() => [port, receiver, ...senders].forEach((socket) => socket.close()));
      assert.equal(fds.length, address === "::" ? 2 : 1);
      const tx = newTxBatch();
      const rx = newRxBatch();
      for (const named of [false, true]) {
        tx.rows.set([0, 10, 0, 0, 0]);
        setAddressRow(tx.dests, 0, local, receiver.port);
        addressToWords(named ? local : "::", tx.dests, ADDR_LOCAL_IP0);
        tx.count = tx.destCount = 1;
        tx.used = 10;
        (senders[family] as UdpSocket).send(tx);
        for (let i = 0; i < 500 && receiver.recv(rx) === 0; i++) await sleep(10);
        assert.equal(wordsToAddress(rx.sources, 0), local);
        assert.equal(rx.sources[ADDR_PORT], port.port);
        rx.sources.fill(0);
      }
    });
  }
});

describe("descriptors that wait for a peer that does not read", () => {
  /** The kernel has room for no more. */
  function fill(pair: Pair): void {
    while (pair.client.queuedBytes === 0) pair.client.send(Buffer.from("x"));
  }

  /** A pair whose server reads from `listen` on. */
  async function deafPair(): Promise<{ pair: Pair; listen: () => void }> {
    const pair = new Pair();
    await pair.until(() => pair.server !== null);
    const server = pair.server as UnixSocket;
    const handler = server["handler"];
    server["handler"] = null;
    return { pair, listen: () => (server["handler"] = handler) };
  }

  test("one that was closed meanwhile arrives, not what would have its number next", async () => {
    const { pair, listen } = await deafPair();
    using _pair = pair;
    const [own, other] = [join(pair.dir, "own"), join(pair.dir, "other")];
    for (const path of [own, other]) writeFileSync(path, "");
    fill(pair);
    const sent = openSync(own, "r");
    pair.client.send(Buffer.from("a file"), [sent]);
    pair.client.send(Buffer.from("again"), [sent]);
    closeFd(sent);
    const next = openSync(other, "r");
    assert.notEqual(next, sent);
    listen();
    await pair.until(() => pair.messages.at(-1)?.text === "again");
    for (const { fds } of pair.messages.slice(-2)) {
      assert.equal(fstatSync(fds[0] as number).ino, statSync(own).ino);
      closeFd(fds[0] as number);
    }
    assert.throws(() => fstatSync(sent), { code: "EBADF" });
    closeSync(next);
  });

  test("those that wait when it ends are closed then", async () => {
    const { pair } = await deafPair();
    using _pair = pair;
    fill(pair);
    const sent = openSync("/dev/null", "r");
    pair.client.send(Buffer.from("a file"), [sent]);
    closeFd(sent);
    assert.ok(fstatSync(sent).isCharacterDevice());
    pair.client.close();
    assert.throws(() => fstatSync(sent), { code: "EBADF" });
  });

  test("there are 1,024 at most", async () => {
    const { pair } = await deafPair();
    using _pair = pair;
    fill(pair);
    const all = (count: number) => new Array<number>(count).fill(0);
    for (let i = 0; i < 4; i++) assert.ok(pair.client.send(Buffer.from("x"), all(253)));
    assert.ok(pair.client.send(Buffer.from("x"), all(12)));
    assert.ok(!pair.client.send(Buffer.from("x"), all(1)));
    assert.ok(!pair.client.isOpen);
  });
});
