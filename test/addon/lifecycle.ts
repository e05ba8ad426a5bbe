/**
 * The addon's handles at the ends of their lives: `lifecycle.js SCENARIO [CYCLES]`. A scenario that goes well prints "done";
 * those that end the process in the midst of a callback end with exit code 3.
 */

import assert from "node:assert/strict";
import { openSync, readdirSync, readlinkSync } from "node:fs";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { loadAddon } from "#src/runtime/native/addon.js";
import { devCertificate } from "#src/runtime/native/x509.js";

interface Addon {
  udpOpen(...args: unknown[]): number;
  udpRecv(handle: number, buf: Uint8Array, rows: Int32Array, sources: Int32Array): number;
  udpSend(handle: number, buf: Uint8Array, rows: Int32Array, count: number, dests: Int32Array, dest: number): boolean;
  udpClose(handle: number): void;
  udpFault(handle: number, errno: number, count: number): void;
  fileFetch(fd: number, length: number, position: number, onDone: (result: number) => void): number;
  fileDrop(slot: number): boolean;
  timerOpen(onTime: () => void): number;
  timerArm(handle: number, delayMicros: number): void;
  timerClose(handle: number): void;
  aeadNewKey(aead: number, key: Uint8Array, iv: Uint8Array): number;
  aeadFreeKey(slot: number): boolean;
  aeadSeal(buf: Uint8Array, rows: Int32Array, count: number): number;
  aeadNewHeaderKey(aead: number, key: Uint8Array): number;
  aeadFreeHeaderKey(slot: number): boolean;
}

const EAGAIN = 11;
const EVENT_READABLE = 1;
const EVENT_WRITABLE = 2;
const MIB = 2 ** 20;
const SETTLE_MILLIS = 20_000;

/** This program. */
const FILE = openSync(fileURLToPath(import.meta.url), "r");
const addon = loadAddon<Addon>();
const tls = chooseTls(process.env);
const identity = devCertificate({ hosts: ["localhost"] });

class Socket {
  readonly bound = new Int32Array(10);
  readonly handle: number;

  constructor(onEvent: (event: number) => void, stats = new Float64Array(16)) {
    const address = Int32Array.of(0, 0, 0xffff, 0x7f000001, 0, 0, 0, 0, 0, 0);
    this.handle = addon.udpOpen(address, this.bound, 0, 65_536, 65_536, stats, onEvent);
    assert.ok(this.handle >= 0, `udpOpen: ${this.handle}`);
  }

  close(): void {
    addon.udpClose(this.handle);
  }

  send(to: Socket): boolean {
    return addon.udpSend(this.handle, new Uint8Array(10), Int32Array.of(0, 10, 0, 0, 0), 1, to.bound, 1);
  }
}

const clientConfig = { alpn: ["h3"], ca: [identity.cert], serverName: "localhost", verify: "strict" } as const;

function newClientContext() {
  return tls.newClientContext({ ...clientConfig, alpn: ["h3"], ca: [identity.cert] });
}

function newServerContext() {
  return tls.newServerContext({ alpn: ["h3"], identities: { "*": identity } });
}

/** A few handles of each kind, and sockets that never rest: each answers itself. */
function litter(onEvent: () => void = () => {}): void {
  for (let i = 0; i < 4; i++) {
    const socket: Socket = new Socket(() => {
      addon.udpRecv(socket.handle, new Uint8Array(70_000), new Int32Array(512), new Int32Array(40));
      socket.send(socket);
      onEvent();
    });
    socket.send(socket);
    addon.fileFetch(FILE, 1 << 20, 0, () => onEvent()); // one that is read and not taken, one that nobody waits for
    addon.fileDrop(addon.fileFetch(FILE, 1 << 20, 0, () => assert.fail("it was dropped")));
    const timer: number = addon.timerOpen(() => {
      addon.timerArm(timer, 10);
      onEvent();
    });
    addon.timerArm(timer, 10);
    addon.aeadNewKey(1, new Uint8Array(16), new Uint8Array(12));
    addon.aeadNewHeaderKey(3, new Uint8Array(32));
    const [server, client] = [newServerContext(), newClientContext()];
    server.newSession({ transportParams: new Uint8Array(8) });
    client.newSession({ transportParams: new Uint8Array(8) });
    if (i % 2 === 0) server.close();
  }
}

function openFiles(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Open sockets, timers and regular files: not what an event loop and its threads open for themselves, and when. */
function addonFiles(): number {
  const targets = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // the descriptor of the folder itself
    }
  });
  return targets.filter((target) => /^socket:|timerfd|^\/(?!dev\/|proc\/)/.test(target)).length;
}

/** Sockets that close themselves, twice, and each other, while both have an event to come. */
async function closeInCallback(): Promise<void> {
  const events: number[] = [];
  let open = 0;
  for (let round = 0; round < 200; round++) {
    const sockets: Socket[] = [];
    const closeAll = (event: number): void => {
      events.push(event);
      for (const socket of sockets.splice(0)) {
        socket.close();
        socket.close();
        open--;
      }
    };
    for (let i = 0; i < 3; i++) sockets.push(new Socket(closeAll));
    open += 3;
    const [first, second, third] = sockets as [Socket, Socket, Socket];
    addon.udpFault(first.handle, EAGAIN, 1);
    if (round % 2 === 0) assert.equal(first.send(second), false); // what it kept goes out when it is writable
    second.send(third);
    third.send(second);
    const reborn: Socket = new Socket(() => {
      reborn.close();
      new Socket(() => {}).close(); // takes the slot that has just become free
    });
    first.close(); // before its event
    sockets.shift();
    open--;
    second.send(reborn);
    while (sockets.length > 0) await nextTurn();
  }
  await sleep(10);
  assert.equal(open, 0);
  assert.ok(events.includes(EVENT_READABLE));
}

/** What was kept goes out from the callback of a socket that then closes itself. */
async function closeWhenWritable(): Promise<void> {
  const seen: number[] = [];
  const receiver = new Socket(() => receiver.close());
  const sender: Socket = new Socket((event) => {
    seen.push(event);
    if (event === EVENT_WRITABLE) sender.close();
  });
  addon.udpFault(sender.handle, EAGAIN, 1);
  assert.equal(sender.send(receiver), false);
  assert.throws(() => sender.send(receiver), { code: "ERR_INVALID_STATE" });
  while (seen.length === 0) await nextTurn();
  await sleep(10);
  assert.deepEqual(seen, [EVENT_WRITABLE]);
}

function spawn(mode: string): Worker {
  return new Worker(fileURLToPath(import.meta.url), { workerData: mode });
}

/** Environments that end with everything open, in all their ways, several at once; no descriptor stays. */
async function workers(): Promise<void> {
  const before = await restingFiles();
  for (let round = 0; round < 5; round++) {
    const modes = ["spin", "idle", "exit", "throw"];
    const ended = modes.map(async (mode) => {
      const worker = spawn(mode);
      const exit = new Promise<number>((resolve) => worker.once("exit", resolve));
      const failed = new Promise<Error>((resolve) => worker.once("error", resolve));
      await new Promise((resolve) => worker.once("message", resolve));
      await sleep(round);
      if (mode === "spin" || mode === "idle") await worker.terminate();
      if (mode === "throw") assert.match(String(await failed), /from a callback/);
      return exit;
    });
    const codes = await Promise.all(ended);
    assert.deepEqual(codes, [1, 1, 3, 1]);
  }
  assert.equal(await settledFiles(before), before, "descriptors of ended workers");
}

/** What is open when Node has started: it has files of its own open for moments. */
async function restingFiles(): Promise<number> {
  let least = addonFiles();
  for (let i = 0; i < 20; i++) {
    await sleep(5);
    least = Math.min(least, addonFiles());
  }
  return least;
}

/** Waits until as many descriptors that the addon opens are open as `wanted`: libuv closes those of an ended worker late. */
async function settledFiles(wanted: number): Promise<number> {
  const until = performance.now() + SETTLE_MILLIS;
  while (addonFiles() !== wanted && performance.now() < until) await sleep(5);
  return addonFiles();
}

function inWorker(mode: string): void {
  let events = 0;
  litter(() => {
    if (++events < 20) return;
    if (mode === "exit") process.exit(3);
    if (mode === "throw") throw new Error("from a callback");
    while (mode === "spin") {}
  });
  parentPort?.postMessage("littered");
}

/** Recursion as deep as it goes, with calls of much native stack at its end. */
function deepStack(): void {
  let made = 0;
  const dive = (): void => {
    try {
      dive();
    } catch {
      try {
        if (made < 20) new Socket(() => {}).close();
        newClientContext()
          .newSession({ transportParams: new Uint8Array(8) })
          .close();
        devCertificate({ hosts: ["localhost"] });
        made++;
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
      if (made < 20) throw new RangeError("not yet");
    }
  };
  dive();
  assert.ok(made > 0);
}

const WINDOWS = 3;
const MAX_GROWN_BYTES = 14 * MIB;

type Cycle = () => void;

function cycles(): Record<string, Cycle> {
  const [server, client] = [newServerContext(), newClientContext()];
  const params = { transportParams: new Uint8Array(8) };
  const nobody = (): void => {};
  const slab = new Uint8Array(100);
  const hp = addon.aeadNewHeaderKey(1, new Uint8Array(16));
  return {
    socket: () => new Socket(nobody).close(),
    fetch: () => assert.ok(addon.fileDrop(addon.fileFetch(FILE, 65_536, 0, nobody))),
    timer: () => {
      const timer = addon.timerOpen(nobody);
      addon.timerArm(timer, 0);
      addon.timerClose(timer);
    },
    key: () => {
      const key = addon.aeadNewKey(1, new Uint8Array(16), new Uint8Array(12));
      assert.equal(addon.aeadSeal(slab, Int32Array.of(0, 1, 1, 40, key, hp, 7, 0), 1), 1);
      addon.aeadFreeKey(key);
    },
    headerKey: () => void addon.aeadFreeHeaderKey(addon.aeadNewHeaderKey(3, new Uint8Array(32))),
    serverSession: () => server.newSession(params).close(),
    clientSession: () => client.newSession(params).close(),
    serverContext: () => newServerContext().close(),
    clientContext: () => newClientContext().close(),
  };
}

/**
 * Creates and closes `count` handles of a kind; after a quarter of them the memory must not grow. The collector and the
 * allocator take some MiB when they like, so a window that grew is looked at again: a leak grows in every window.
 */
async function churn(name: string, count: number): Promise<void> {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  const cycle = cycles()[name] as Cycle;
  const filesBefore = openFiles();
  await turn(cycle, count >> 2, gc);
  let least = Number.POSITIVE_INFINITY;
  for (let window = 0; window < WINDOWS && least >= MAX_GROWN_BYTES; window++) {
    const before = process.memoryUsage.rss();
    await turn(cycle, count - (count >> 2), gc);
    least = Math.min(least, process.memoryUsage.rss() - before);
  }
  console.log(`${name}: ${count} cycles, ${(least / MIB).toFixed(2)} MiB more`);
  assert.ok(least < MAX_GROWN_BYTES, `${name} grew by ${(least / MIB).toFixed(1)} MiB in each of ${WINDOWS} windows`);
  const files = openFiles();
  // Node may close one of its own meanwhile; a leak of one each cycle would be thousands
  assert.ok(files <= filesBefore, `descriptors of ${name}: ${files}, before ${filesBefore}`);
}

async function turn(cycle: Cycle, count: number, gc: () => void): Promise<void> {
  for (let i = 0; i < count; i++) {
    cycle();
    if (i % 256 === 0) await nextTurn();
    if (i % 1_024 === 0) gc();
  }
  await settle(gc);
}

async function settle(gc: () => void): Promise<void> {
  for (let i = 0; i < 3; i++) {
    gc();
    await sleep(10);
  }
}

async function main(scenario: string, count: string): Promise<void> {
  if (!isMainThread) return inWorker(workerData as string);
  switch (scenario) {
    case "exit-live":
      litter();
      await sleep(5);
      process.exit(3);
      break;
    case "exit-in-callback":
      return litter(() => process.exit(3));
    case "throw-in-callback":
      process.once("uncaughtException", () => process.exit(3));
      return litter(() => {
        throw new Error("from a callback");
      });
    case "close-in-callback":
      await closeInCallback();
      await closeWhenWritable();
      break;
    case "workers":
      await workers();
      break;
    case "deep-stack":
      deepStack();
      process.exit(3); // what ran out of stack right after udpOpen left its socket open
      break;
    default:
      await churn(scenario, Number(count));
  }
  console.log("done");
}

await main(process.argv[2] ?? "", process.argv[3] ?? "");
