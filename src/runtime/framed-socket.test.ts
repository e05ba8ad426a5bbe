import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { connectFramed, type FramedHandler, type FramedServer, FramedSocket, listenFramed } from "./framed-socket.js";

const LIMITS = { maxFrameBytes: 1000, maxQueuedBytes: 400_000 };
const dir = mkdtempSync(join(tmpdir(), "framed-"));
let paths = 0;
const newPath = (): string => join(dir, `${++paths}.sock`);
after(() => rmSync(dir, { recursive: true }));

/** What one end heard. */
class Ear implements FramedHandler {
  readonly frames: string[] = [];
  /** How it ended: "" in good order, else the code of the error. */
  readonly ended: Promise<string>;
  ends = 0;
  private settle: (code: string) => void = () => {};
  private waiting: (() => void) | null = null;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.settle = resolve;
    });
  }

  onFrame(frame: Uint8Array): void {
    this.frames.push(Buffer.from(frame).toString("latin1"));
    this.waiting?.();
  }

  onEnd(error: NodeJS.ErrnoException | null): void {
    this.ends++;
    this.settle(error?.code ?? "");
  }

  async has(count: number): Promise<string[]> {
    while (this.frames.length < count) await new Promise<void>((resolve) => (this.waiting = resolve));
    return this.frames;
  }
}

interface Both {
  client: FramedSocket;
  server: FramedSocket;
  clientEar: Ear;
  serverEar: Ear;
  listener: FramedServer;
}

async function both(limits = LIMITS): Promise<Both> {
  const serverEar = new Ear();
  const clientEar = new Ear();
  const path = newPath();
  let made: (socket: FramedSocket) => void = () => {};
  const server = new Promise<FramedSocket>((resolve) => (made = resolve));
  const listener = await listenFramed({
    path,
    maxConnections: 4,
    onConnection: (socket) => made(new FramedSocket(socket, limits, serverEar)),
    onError: assert.fail,
  });
  const client = connectFramed(path, limits, clientEar);
  return { client, server: await server, clientEar, serverEar, listener };
}

/** Bytes as they come, without framing, to a FramedSocket. */
async function raw(): Promise<{ socket: Socket; ear: Ear; listener: FramedServer }> {
  const ear = new Ear();
  const path = newPath();
  const listener = await listenFramed({
    path,
    maxConnections: 4,
    onConnection: (socket) => new FramedSocket(socket, LIMITS, ear),
    onError: assert.fail,
  });
  return { socket: connect(path).on("error", () => {}), ear, listener };
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "latin1"));

describe("messages over a Unix socket", () => {
  test("frames arrive whole and in order, empty ones and the longest, both ways", async () => {
    const { client, server, clientEar, serverEar, listener } = await both();
    const longest = "x".repeat(LIMITS.maxFrameBytes);
    for (const text of ["a", "", longest, "b"]) assert.equal(client.send(bytes(text)), true);
    assert.deepEqual(await serverEar.has(4), ["a", "", longest, "b"]);
    server.send(bytes("answer"));
    assert.deepEqual(await clientEar.has(1), ["answer"]);
    client.end();
    assert.equal(await serverEar.ended, "");
    assert.equal(await clientEar.ended, "");
    assert.equal(client.send(bytes("late")), false);
    listener.close();
  });

  test("a byte at a time is the same", async () => {
    const { socket, ear, listener } = await raw();
    for (const byte of [0, 0, 0, 2, 65, 66, 0, 0, 0, 0, 0, 0, 0, 1, 67]) {
      socket.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    assert.deepEqual(await ear.has(3), ["AB", "", "C"]);
    socket.end();
    assert.equal(await ear.ended, "");
    listener.close();
  });

  test("one byte above the limit ends the connection with EMSGSIZE, at the sender and at the receiver", async () => {
    const { client, clientEar, serverEar, listener } = await both();
    assert.equal(client.send(new Uint8Array(LIMITS.maxFrameBytes + 1)), false);
    assert.equal(await clientEar.ended, "EMSGSIZE");
    assert.equal(await serverEar.ended, "");
    listener.close();

    const second = await raw();
    second.socket.write(Uint8Array.of(0, 0, 0x03, 0xe9, 1));
    assert.equal(await second.ear.ended, "EMSGSIZE");
    assert.deepEqual(second.ear.frames, []);
    second.listener.close();
  });

  test("who does not read is cut off with ENOBUFS when the queue is full", async () => {
    const path = newPath();
    const held: Socket[] = [];
    const silent = createServer((socket) => held.push(socket.pause())).listen(path);
    const ear = new Ear();
    const client = connectFramed(path, LIMITS, ear);
    const frame = new Uint8Array(LIMITS.maxFrameBytes);
    let sent = 0;
    while (client.send(frame)) sent++;
    assert.equal(sent, Math.floor(LIMITS.maxQueuedBytes / (LIMITS.maxFrameBytes + 4)));
    assert.equal(await ear.ended, "ENOBUFS");
    for (const socket of held) socket.destroy();
    silent.close();
  });

  test("an end inside a message is ECONNRESET, and told once", async () => {
    for (const part of [
      [0, 0],
      [0, 0, 0, 2, 65],
    ]) {
      const { socket, ear, listener } = await raw();
      socket.end(Uint8Array.from(part));
      assert.equal(await ear.ended, "ECONNRESET");
      await new Promise(setImmediate);
      assert.equal(ear.ends, 1);
      listener.close();
    }
  });

  test("after destroy nothing more is handed over", async () => {
    const { client, server, serverEar, listener } = await both();
    serverEar.onFrame = () => {
      serverEar.frames.push("one");
      server.destroy();
    };
    client.send(bytes("a"));
    client.send(bytes("b"));
    assert.equal(await serverEar.ended, "");
    assert.deepEqual(serverEar.frames, ["one"]);
    listener.close();
  });

  test("paused in the middle of what has arrived, it hands over the rest when it is resumed", async () => {
    const { client, server, serverEar, listener } = await both();
    serverEar.onFrame = (frame) => {
      serverEar.frames.push(Buffer.from(frame).toString("latin1"));
      server.pause();
    };
    for (const letter of "abc") client.send(bytes(letter));
    for (const count of [1, 2, 3]) {
      while (serverEar.frames.length < count) await new Promise(setImmediate);
      await new Promise(setImmediate);
      assert.equal(serverEar.frames.length, count);
      server.resume();
    }
    assert.deepEqual(serverEar.frames, ["a", "b", "c"]);
    server.destroy();
    listener.close();
  });

  test("what is sent while connecting waits; a socket that is not there is ENOENT", async () => {
    const ear = new Ear();
    const client = connectFramed(newPath(), LIMITS, ear);
    assert.equal(client.send(bytes("a")), true);
    assert.equal(await ear.ended, "ENOENT");
    assert.equal(client.send(bytes("b")), false);
  });
});

describe("listening on a Unix socket", () => {
  const nothing = { maxConnections: 1, onConnection: () => {}, onError: assert.fail };

  test("the socket is its owner's alone, or has the mode that was asked for", async () => {
    for (const mode of [undefined, 0o600, 0o660]) {
      const path = newPath();
      const before = process.umask();
      const listener = await listenFramed({ path, ...nothing, ...(mode !== undefined && { mode }) });
      assert.equal(statSync(path).mode & 0o777, mode ?? 0o600);
      assert.equal(process.umask(), before);
      listener.close();
    }
  });

  test("a path that somebody listens on, or that is a file, is EADDRINUSE", async () => {
    const path = newPath();
    const listener = await listenFramed({ path, ...nothing });
    await assert.rejects(listenFramed({ path, ...nothing }), { code: "EADDRINUSE" });
    listener.close();
    const file = newPath();
    writeFileSync(file, "precious");
    await assert.rejects(listenFramed({ path: file, ...nothing }), { code: "EADDRINUSE" });
    assert.ok(statSync(file).isFile());
  });

  test("what a dead process left is replaced", async () => {
    const { path } = await leftover();
    const listener = await listenFramed({ path, ...nothing });
    assert.ok(statSync(path).isSocket());
    listener.close();
  });

  test("a path of 107 bytes is fine, of 108 it is ENAMETOOLONG and not cut", async () => {
    const longest = join(dir, "p".repeat(107 - dir.length - 1));
    const listener = await listenFramed({ path: longest, ...nothing });
    assert.ok(statSync(longest).isSocket());
    listener.close();
    await assert.rejects(listenFramed({ path: `${longest}p`, ...nothing }), { code: "ENAMETOOLONG" });
    assert.throws(() => connectFramed(`${longest}p`, LIMITS, new Ear()), { code: "ENAMETOOLONG" });
  });

  test("connections beyond the limit are closed", async () => {
    const path = newPath();
    let count = 0;
    const first = new Promise<FramedSocket>((resolve) => {
      void listenFramed({
        path,
        maxConnections: 1,
        onConnection: (socket) => {
          count++;
          resolve(new FramedSocket(socket, LIMITS, new Ear()));
        },
        onError: assert.fail,
      }).then((listener) => after(() => listener.close()));
    });
    await new Promise(setImmediate);
    const ear = new Ear();
    connectFramed(path, LIMITS, new Ear());
    await first;
    const second = connectFramed(path, LIMITS, ear);
    assert.ok(["", "ECONNRESET", "EPIPE"].includes(await ear.ended));
    assert.equal(count, 1);
    second.destroy();
    (await first).destroy();
  });

  /** A name in the file system that nobody listens on. */
  async function leftover(): Promise<{ path: string }> {
    const path = newPath();
    const { spawnSync } = await import("node:child_process");
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`;
    spawnSync(process.execPath, ["-e", script]);
    assert.ok(statSync(path).isSocket());
    return { path };
  }
});
