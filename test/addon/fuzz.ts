/**
 * Calls every function of the addon with arguments that are right, nearly right and absurd, from a seed:
 * `fuzz.js SEED CALLS [trace]`. It ends with "done" and exit code 0; whatever else happens is a fault of the addon. Alone it
 * fuzzes in the main thread; with `SEED CALLS workers` two workers fuzz at the same time.
 */

import assert from "node:assert/strict";
import { mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { loadAddon } from "#src/runtime/native/addon.js";
import { makeList } from "#src/runtime/native/crl-make.contract.js";
import { devCertificate, makeCertificate } from "#src/runtime/native/x509.js";
import { Dice, edge, nasty, spoilt, Trap } from "./nasty.js";

type Call = (...args: unknown[]) => unknown;
type Addon = Record<string, Call>;
type Options = Record<string, unknown>;

const LIBRARIES = ["openssl", "gnutls"];
/** Handles of one kind that live at the same time. */
const POOL = 12;
const CIPHERS: Record<string, string> = {
  openssl: "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256",
  gnutls: "NORMAL:-VERS-ALL:+VERS-TLS1.3:%DISABLE_TLS13_COMPAT_MODE",
};
/** A file to read from: this program. */
const FILE = openSync(fileURLToPath(import.meta.url), "r");
const DESCRIPTOR_CALLS = ["udpAdopt", "udpSteer", "udpDrain", "fdDup", "fdClose"];
const KEY_BYTES = [0, 16, 32, 32, 16];
const IDENTITY = devCertificate({ hosts: ["localhost"] });
const CA = makeCertificate({ subject: "ca", ca: true });
const CRL = makeList({ issued: CA.cert, key: CA.key, revoked: [CA.cert] });

/** Things that calls returned, of one kind; the oldest makes room, and some that are closed stay. */
class Pool<T> {
  readonly items: T[] = [];

  constructor(private readonly close: (item: T) => void) {}

  put(item: T): void {
    this.items.push(item);
    if (this.items.length <= POOL) return;
    const [oldest] = this.items.splice(0, 1);
    this.close(oldest as T);
  }

  /** What `take` took last. */
  taken: T | undefined;

  pick(dice: Dice): T | undefined {
    return dice.pick(this.items);
  }

  take(dice: Dice): T | undefined {
    this.taken = this.pick(dice);
    this.forget(this.taken);
    return this.taken;
  }

  forget(item: T | undefined): void {
    const at = this.items.indexOf(item as T);
    if (at >= 0) this.items.splice(at, 1);
  }
}

class Fuzz {
  readonly addon = loadAddon<Addon>();
  calls = 0;
  threw = 0;
  events = 0;
  private depth = 0;
  private readonly sockets = new Pool<number>((handle) => this.addon.udpClose?.(handle));
  private readonly timers = new Pool<number>((handle) => this.addon.timerClose?.(handle));
  private readonly keys = new Pool<number>((slot) => this.addon.aeadFreeKey?.(slot));
  private readonly headerKeys = new Pool<number>((slot) => this.addon.aeadFreeHeaderKey?.(slot));
  private readonly fetches = new Pool<number>((slot) => this.addon.fileDrop?.(slot));
  private readonly trusts = new Pool<unknown>(() => {});
  private readonly contexts = new Pool<unknown>((handle) => this.addon.tlsClose?.(handle));
  private readonly sessions = new Pool<unknown>((handle) => this.addon.tlsClose?.(handle));
  private readonly ports = new Pool<number>(() => {});
  /** Descriptors that the calls gave away, and that are still ours. */
  private readonly descriptors = new Pool<number>((fd) => this.addon.fdClose?.(fd));
  private readonly links = new Pool<number>((handle) => this.addon.unixClose?.(handle));
  private readonly paths = new Pool<string>((path) => rmSync(path, { force: true }));
  private readonly dir = mkdtempSync(join(tmpdir(), "netquic-addon-fuzz-"));
  private listeners = 0;
  /** Bytes that sessions wanted sent, with their level. */
  private readonly flights = new Pool<{ level: number; bytes: Uint8Array }>(() => {});
  private readonly tickets = new Pool<Uint8Array>(() => {});
  private readonly slab = new Uint8Array(70_000);
  private readonly dice: Dice;
  private readonly gc: () => void;

  constructor(
    seed: number,
    private readonly trace: boolean,
  ) {
    this.dice = new Dice(seed);
    setFlagsFromString("--expose-gc");
    this.gc = runInNewContext("gc") as () => void;
  }

  /** Arguments as the wrappers would give them, for each function; the number is how often it is called. */
  readonly cases: Record<string, [weight: number, args: () => unknown[]]> = {
    udpOpen: [8, () => this.openArgs()],
    udpRecv: [20, () => [this.socket(), this.bytes(), this.rows(4), this.rows(10)]],
    udpSend: [20, () => [this.socket(), this.bytes(), this.txRows(), this.count(), this.dests(), this.count()]],
    udpClose: [4, () => [this.socket()]],
    udpKeepAlive: [4, () => [this.socket(), this.dice.once(2)]],
    udpHints: [4, () => [this.socket(), this.rows(7)]],
    udpFault: [4, () => [this.socket(), this.dice.pick([11, 22, 90, 105, 4, 5, 0, 38]), this.dice.below(5)]],
    udpAdopt: [4, () => this.adoptArgs()],
    udpFd: [2, () => [this.socket()]],
    udpMember: [4, () => this.memberArgs()],
    udpSteer: [4, () => [this.descriptors.pick(this.dice), this.routes()]],
    udpDrain: [4, () => [this.descriptors.pick(this.dice)]],
    fdDup: [2, () => [this.descriptors.pick(this.dice)]],
    fdClose: [2, () => [this.descriptors.take(this.dice)]],
    unixListen: [2, () => [join(this.dir, `${this.listeners++}`), this.callback()]],
    unixConnect: [8, () => [this.paths.pick(this.dice), this.callback()]],
    unixAccept: [10, () => [this.links.pick(this.dice), this.callback()]],
    unixPeer: [4, () => [this.links.pick(this.dice), new Int32Array(this.dice.pick([3, 3, 4, 2]))]],
    unixSend: [20, () => [this.links.pick(this.dice), this.bytes(), this.passed()]],
    unixRecv: [20, () => [this.links.pick(this.dice), this.bytes(), new Int32Array(this.dice.pick([254, 4, 1, 0]))]],
    unixWatch: [4, () => [this.links.pick(this.dice), this.dice.below(4)]],
    unixKeepAlive: [2, () => [this.links.pick(this.dice), this.dice.once(2)]],
    unixClose: [2, () => [this.links.pick(this.dice)]],
    timerOpen: [4, () => [this.callback()]],
    timerArm: [8, () => [this.timers.pick(this.dice), this.dice.pick([0, 1, 500, 2_000, 1e15])]],
    timerClose: [2, () => [this.timers.pick(this.dice)]],
    aeadSupports: [4, () => [this.dice.below(6)]],
    aeadNewKey: [10, () => this.keyArgs().concat([this.dice.bytes(12)])],
    aeadRestKey: [4, () => [this.keys.pick(this.dice)]],
    aeadFreeKey: [4, () => [this.keys.pick(this.dice)]],
    aeadNewHeaderKey: [10, () => this.keyArgs()],
    aeadFreeHeaderKey: [4, () => [this.headerKeys.pick(this.dice)]],
    aeadSeal: [20, () => this.sealArgs()],
    aeadUnmask: [20, () => this.batchArgs(10, () => this.openRow())],
    aeadOpen: [20, () => this.batchArgs(10, () => this.openRow())],
    aeadScatter: [20, () => [...this.batchArgs(2, () => this.piece()), this.bytes(), this.dice.below(1_000)]],
    aeadOnce: [10, () => this.onceArgs()],
    aeadExpand: [10, () => [this.dice.once(2), this.bytes(), this.bytes(), this.bytes()]],
    aeadHmac: [10, () => [this.dice.once(2), this.bytes(), this.bytes(), new Uint8Array(this.dice.pick([32, 48, 33]))]],
    fileRead: [10, () => [FILE, ...this.part(), this.position()]],
    fileFetch: [10, () => [FILE, 1 + this.dice.below(70_000), this.position(), this.callback()]],
    fileTake: [10, () => [this.fetches.pick(this.dice), ...this.part()]],
    fileDrop: [4, () => [this.fetches.pick(this.dice)]],
    tlsLibrary: [2, () => [this.dice.pick(LIBRARIES)]],
    tlsHasGroup: [2, () => [this.dice.pick(LIBRARIES), this.dice.pick(["X25519", "P-256", "GROUP-X25519", "x\0"])]],
    tlsTrust: [2, () => [this.dice.pick(LIBRARIES), this.spoil(this.trustOptions())]],
    tlsContext: [2, () => this.contextArgs()],
    tlsSession: [4, () => [this.contexts.pick(this.dice), this.spoil(this.sessionOptions())]],
    tlsPut: [20, () => this.putArgs()],
    tlsAllowEarlyData: [2, () => [this.sessions.pick(this.dice), this.dice.pick(["h3", "x", "", "a".repeat(300)])]],
    tlsTake: [40, () => [this.sessions.pick(this.dice)]],
    tlsClose: [1, () => [this.dice.pick([this.contexts, this.sessions, this.trusts]).pick(this.dice)]],
    x509Make: [1, () => [this.spoil(this.request())]],
    timingStart: [1, () => [this.dice.once(2)]],
    timingRead: [1, () => [new Float64Array(this.dice.pick([14, 14, 13, 0]))]],
  };

  /** Every export has a case here, and every case an export. */
  checkCases(): void {
    const { addon, cases } = this;
    const { version, ...calls } = addon;
    assert.equal(typeof version, "number");
    for (const [name, call] of Object.entries(calls)) assert.equal(typeof call, "function", `export ${name}`);
    assert.deepEqual(Object.keys(calls).sort(), Object.keys(cases).sort(), "exports and their fuzz cases");
  }

  async run(calls: number): Promise<void> {
    const names = Object.entries(this.cases).flatMap(([name, [weight]]) => new Array<string>(weight).fill(name));
    for (const name of Object.keys(this.cases)) for (let i = 0; i < 20; i++) this.call(name);
    while (this.calls < calls) {
      for (let i = 0; i < 256; i++) this.call(this.dice.pick(names));
      if (this.dice.once(40)) this.gc();
      await nextTurn(); // callbacks, finalizers
    }
    for (let handle = 0; handle < 4_096; handle++) {
      this.addon.udpClose?.(handle);
      this.addon.timerClose?.(handle);
      this.addon.unixClose?.(handle);
    }
    for (const fd of this.descriptors.items) this.addon.fdClose?.(fd);
    rmSync(this.dir, { recursive: true });
    await nextTurn();
  }

  private call(name: string): void {
    const { dice } = this;
    const [, valid] = this.cases[name] as [number, () => unknown[]];
    let args: unknown[] = [];
    try {
      args = valid();
    } catch (error) {
      if (!(error instanceof Trap)) throw error;
    }
    for (let i = dice.pick([0, 0, 0, 1, 1, 2]); i > 0 && args.length > 0; i--)
      args[dice.below(args.length)] = this.odd();
    if (dice.once(20)) args.length = dice.below(args.length + 1);
    if (dice.once(40)) args.push(nasty(dice));
    // other descriptors are Node's own: to read from its event loop would stop it
    if ((name === "fileRead" || name === "fileFetch") && isDescriptor(args[0])) args[0] = dice.pick([FILE, 2 ** 30]);
    if (DESCRIPTOR_CALLS.includes(name) && !this.mayTake(args[0])) args[0] = 2 ** 30;
    // who is called as a constructor does not say whether it took the descriptor: it is another's then
    if (name === "udpAdopt") this.descriptors.forget(args[0] as number);
    this.apply(name, args);
  }

  /** Descriptors of others are Node's own, or another thread's. */
  private mayTake(value: unknown): boolean {
    if (typeof value !== "number" || (value | 0) < 0) return true;
    return this.descriptors.items.includes(value) || value === this.descriptors.taken;
  }

  private apply(name: string, args: unknown[]): void {
    const { dice } = this;
    const fn = this.addon[name] as Call;
    this.calls++;
    if (this.trace) writeSync(2, `${this.calls} ${name} ${args.map(describe).join(", ")}\n`);
    try {
      const result = dice.once(30)
        ? Reflect.construct(fn, args)
        : Reflect.apply(fn, dice.once(4) ? nasty(dice) : this.addon, args);
      this.keep(name, args, result);
    } catch (error) {
      if (!(error instanceof Error)) throw new Error(`${name} threw something else`, { cause: error });
      if (!(error instanceof Trap) && !/^ERR_[A-Z0-9_]+$/.test(codeOf(error)) && !isEngineError(error)) throw error;
      this.threw++;
    }
  }

  /** What a side effect in the midst of a call may be: another call, memory taken away, a collection. */
  private readonly act = (): void => {
    if (this.depth > 2) return;
    this.depth++;
    const how = this.dice.below(20);
    if (how === 0) this.gc();
    else if (how < 8) this.call("tlsClose");
    else this.call(this.dice.pick(Object.keys(this.cases)));
    this.depth--;
  };

  /** An absurd value, or one that is right elsewhere. */
  private odd(): unknown {
    const { dice } = this;
    if (!dice.once(3)) return nasty(dice);
    const { sockets, keys, trusts, contexts, sessions } = this;
    return dice.pick<unknown>(
      dice.pick<unknown[]>([sockets.items, keys.items, trusts.items, contexts.items, sessions.items]),
    );
  }

  private keep(name: string, args: unknown[], result: unknown): void {
    const isSlot = typeof result === "number" && result >= 0;
    if (name === "udpOpen" && isSlot) {
      this.sockets.put(result);
      this.ports.put((args[1] as Int32Array)[4] as number);
    } else if (name === "udpAdopt" && isSlot) {
      this.sockets.put(result);
    } else if (name === "udpAdopt" && typeof result === "number" && isDescriptor(args[0]) && args[0] !== 2 ** 30) {
      this.descriptors.put(args[0] as number); // refused
    } else if ((name === "udpMember" || name === "fdDup") && isSlot) this.descriptors.put(result);
    else if (name === "unixRecv" && isSlot && args[2] instanceof Int32Array) this.keepDescriptors(args[2]);
    else if (/^unix(?:Listen|Connect|Accept)$/.test(name) && isSlot) {
      this.links.put(result);
      if (name === "unixListen") this.paths.put(args[0] as string);
    } else if (name === "fileFetch" && isSlot) this.fetches.put(result);
    else if (name === "timerOpen" && isSlot) this.timers.put(result);
    else if (name === "aeadNewKey" && isSlot) this.keys.put(result);
    else if (name === "aeadNewHeaderKey" && isSlot) this.headerKeys.put(result);
    else if (name === "tlsTrust") this.trusts.put(result);
    else if (name === "tlsContext") this.contexts.put(result);
    else if (name === "tlsSession") this.sessions.put(result);
    else if (name === "tlsTake" && typeof result === "object" && result !== null) {
      const { kind, level, bytes } = result as { kind: string; level: number; bytes: Uint8Array };
      if (kind === "send") this.flights.put({ level, bytes });
      if (kind === "ticket") this.tickets.put(bytes);
    }
  }

  private keepDescriptors(fds: Int32Array): void {
    const count = fds[0] ?? 0;
    for (let i = 1; i <= count; i++) this.descriptors.put(fds[i] as number);
  }

  private spoil(options: Options): unknown {
    return this.dice.once(2) ? options : spoilt(this.dice, options, this.act);
  }

  private socket(): number | undefined {
    return this.sockets.pick(this.dice);
  }

  private count(): number {
    return this.dice.below(8);
  }

  private bytes(): Uint8Array {
    return this.dice.once(4) ? new Uint8Array(edge(this.dice, 4_096) & 0xffff) : this.slab;
  }

  /** An array and a part of it. */
  private part(): unknown[] {
    const bytes = this.bytes();
    const start = this.dice.below(bytes.length + 1);
    return [bytes, start, start + this.dice.below(bytes.length - start + 1)];
  }

  private position(): number {
    return this.dice.pick([-1, 0, this.dice.below(100_000), 2 ** 40, edge(this.dice, 100_000)]);
  }

  private rows(columns: number): Int32Array {
    return new Int32Array(this.dice.below(64) * columns + this.dice.below(2));
  }

  private openArgs(): unknown[] {
    const isIpv6 = this.dice.once(2);
    const address = new Int32Array(10);
    address.set(isIpv6 ? [0, 0, 0, 1] : [0, 0, 0xffff, 0x7f000001]);
    if (this.dice.once(10)) address[this.dice.below(10)] = this.dice.pick([-1, 2 ** 31 - 1, 1, 0xff]);
    const flags = this.dice.once(10) ? this.dice.below(128) : isIpv6 ? 1 : 0;
    const box = this.dice.once(4) ? this.doomedBox() : new Float64Array(16);
    return [address, new Int32Array(10), flags, 65_536, 65_536, box, this.callback()];
  }

  /** Memory for the counters that goes away at some time after the socket was opened. */
  private doomedBox(): Float64Array {
    const box = new Float64Array(new ArrayBuffer(1 << 20), 0, 16);
    setImmediate(() => structuredClone(box.buffer, { transfer: [box.buffer as ArrayBuffer] }));
    return box;
  }

  private memberArgs(): unknown[] {
    const [address, bound] = this.openArgs() as [Int32Array, Int32Array];
    if (this.dice.once(2)) address[4] = this.ports.pick(this.dice) ?? 0;
    return [address, bound, this.dice.below(8), 65_536, 65_536];
  }

  private adoptArgs(): unknown[] {
    const [, bound, , , , box, callback] = this.openArgs();
    return [this.descriptors.pick(this.dice), bound, box, callback];
  }

  /** Pairs of a route and the number of a member. */
  private routes(): Int32Array {
    const length = this.dice.pick([0, 2, 4, 3, 510, 2_000]);
    return Int32Array.from({ length }, () => this.dice.below(this.dice.once(8) ? 300 : 4));
  }

  private passed(): Int32Array {
    const fds = this.descriptors.items.slice(0, this.dice.below(3));
    return Int32Array.from(this.dice.once(8) ? [...fds, this.dice.pick([-1, 2 ** 30])] : fds);
  }

  private callback(): Call {
    let budget = 50;
    return () => {
      this.events++;
      if (budget-- <= 0) return;
      for (let i = this.dice.below(4); i > 0; i--) this.act();
      if (this.dice.once(10)) for (const handle of this.sockets.items) this.addon.udpClose?.(handle);
      if (this.dice.once(20)) throw new Trap("callback");
    };
  }

  private txRows(): Int32Array {
    const rows = new Int32Array(this.dice.below(100) * 5);
    const length = this.dice.pick([0, 1, 100, 1_200]);
    for (let at = 0; at < rows.length; at += 5) rows.set([(at / 5) * length, length, 0, this.dice.below(4), 0], at);
    for (let i = this.dice.below(4); i > 0 && rows.length > 0; i--)
      rows[this.dice.below(rows.length)] = edge(this.dice, this.slab.length);
    return rows;
  }

  /** Only to this machine, or to nowhere. */
  private dests(): Int32Array {
    const dests = new Int32Array((1 + this.dice.below(3)) * 10);
    for (let at = 0; at < dests.length; at += 10) {
      dests.set(
        this.dice.pick([
          [0, 0, 0, 1],
          [0, 0, 0xffff, 0x7f000001],
          [0, 0, 0xffff, 0x7f000001],
          [0, 0, 0, 0],
        ]),
        at,
      );
      dests[at + 4] = this.dice.once(8) ? edge(this.dice, 65_535) : (this.ports.pick(this.dice) ?? 9);
      if (this.dice.once(4)) dests.set(dests.subarray(at, at + 4), at + 5);
      if (this.dice.once(8)) dests[at + 9] = edge(this.dice, 0);
    }
    return dests;
  }

  private keyArgs(): unknown[] {
    const aead = this.dice.below(6);
    return [aead, this.dice.bytes(KEY_BYTES[aead] ?? 16)];
  }

  private onceArgs(): unknown[] {
    const [aead, key] = this.keyArgs();
    const data = this.dice.bytes(16 + this.dice.below(64));
    const aad = this.dice.once(4) ? data.subarray(0, 5) : this.dice.bytes(this.dice.below(30));
    return [this.dice.once(2), aead, key, this.dice.bytes(12), aad, data];
  }

  private batchArgs(columns: number, row: () => number[]): unknown[] {
    const buf = this.dice.once(8) ? this.bytes() : this.slab.subarray(0, 4_096);
    // Now and then the table lies in the very bytes that are sealed and opened.
    const isInside = this.dice.once(4) && buf.buffer.byteLength >= 4_096;
    const rows = isInside ? new Int32Array(buf.buffer, 0, 10 * columns) : this.rows(columns);
    for (let at = 0; at + columns <= rows.length; at += columns) rows.set(row(), at);
    return [buf, rows, this.dice.once(8) ? edge(this.dice, 64) : this.dice.below(80)];
  }

  /** With or without bytes to be copied in before they are sealed; some lists of sources act when they are read. */
  private sealArgs(): unknown[] {
    const { dice } = this;
    const args = this.batchArgs(8, () => this.sealRow());
    if (dice.once(2)) return args;
    const sources: unknown[] = Array.from({ length: dice.pick([0, 1, 3, 256, 257]) }, () => this.bytes());
    if (dice.once(8)) sources[dice.below(sources.length + 1)] = nasty(dice);
    const get = () => {
      this.act();
      const doomed = args[0] as Uint8Array;
      if (dice.once(2) && doomed.buffer !== this.slab.buffer && doomed.buffer.byteLength > 0)
        structuredClone(null, { transfer: [doomed.buffer as ArrayBuffer] });
      sources.length = 0;
      return this.slab;
    };
    if (dice.once(8)) Object.defineProperty(sources, dice.below(3), { get, configurable: true });
    const rows = this.rows(4);
    let to = 0;
    for (let at = 0; at + 4 <= rows.length; at += 4) {
      rows.set([dice.below(4), dice.below(2_000), dice.below(300), to], at);
      to += dice.below(400);
      if (dice.once(8)) rows[at + dice.below(4)] = edge(dice, 4_096);
    }
    return [...args, sources, rows, dice.below(70)];
  }

  private sealRow(): number[] {
    const { dice } = this;
    const off = dice.below(2_000);
    const pnOff = off + 1 + dice.below(30);
    const pn = dice.below(2 ** 31);
    const hp = this.headerKeys.pick(dice) ?? 0;
    const row = [off, pnOff, 1 + dice.below(4), pnOff + 4 + dice.below(1_200), this.keys.pick(dice) ?? 0, hp, pn, 0];
    if (dice.once(4)) row[dice.below(8)] = edge(dice, 4_096);
    return row;
  }

  private openRow(): number[] {
    const { dice } = this;
    const off = dice.below(2_000);
    const pnOff = off + 1 + dice.below(30);
    const end = pnOff + 20 + dice.below(1_200);
    const hp = this.headerKeys.pick(dice) ?? 0;
    const row = [off, pnOff, end, this.keys.pick(dice) ?? 0, hp, dice.below(5), dice.below(2 ** 31), 0, 0, 0];
    if (dice.once(4)) row[dice.below(10)] = edge(dice, 4_096);
    return row;
  }

  private piece(): number[] {
    const row = [this.dice.below(2_000), this.dice.below(600)];
    if (this.dice.once(4)) row[this.dice.below(2)] = edge(this.dice, 4_096);
    return row;
  }

  private trustOptions(): Record<string, unknown> {
    const { dice } = this;
    const crls = dice.pick([[], [], [CRL], [CRL + CRL], [CRL, CRL.slice(0, 150)], [CRL.replace("M", "A")], [CA.cert]]);
    return { pems: this.pems(), lenient: dice.once(2), crls };
  }

  private pems(): string[] {
    return this.dice.pick([
      [],
      [CA.cert],
      [CA.cert, IDENTITY.cert],
      ["x"],
      [CA.cert.slice(0, 200)],
      [CA.cert + CA.cert],
    ]);
  }

  private contextArgs(): unknown[] {
    const { dice } = this;
    const library = dice.pick(LIBRARIES);
    const isServer = dice.once(2);
    const hasIdentity = isServer || dice.once(4);
    const config = {
      isServer,
      report: dice.once(2),
      keylog: dice.once(4),
      earlyData: dice.once(2),
      clientCert: dice.below(4),
      alpn: dice.pick([["h3"], ["h3", "x"], ["\0", "h3"], ["a".repeat(255)], [""], []]),
      ciphers: dice.once(20) ? "x" : CIPHERS[library],
      groups: dice.once(20) ? "x" : "X25519:P-256",
      names: hasIdentity ? [dice.pick(["*", "localhost", "*.x", ""])] : [],
      certs: hasIdentity ? [dice.once(10) ? CA.cert : IDENTITY.cert] : [],
      keys: hasIdentity ? [dice.once(10) ? "x" : IDENTITY.key] : [],
    };
    return [library, this.spoil(config), this.trusts.pick(dice)];
  }

  private sessionOptions(): Options {
    const { dice } = this;
    const ticket = dice.once(2) ? this.tickets.pick(dice) : undefined;
    return {
      transportParams: dice.bytes(dice.pick([0, 4, 60, 60, 60])),
      ticketKeys: dice.bytes(dice.pick([0, 0, 80, 240, 64, 1])),
      ticket: ticket === undefined ? dice.bytes(dice.pick([0, 0, 40])) : this.bent(ticket),
      sni: dice.pick(["", "localhost", "localhost", "a".repeat(300), "a.".repeat(120)]),
      verifyDns: dice.pick(["", "localhost", "a".repeat(300)]),
      verifyIp: dice.pick(["", "", "127.0.0.1", "::1", "1.2.3", "x"]),
      earlyData: dice.once(2),
    };
  }

  private putArgs(): unknown[] {
    const { dice } = this;
    const flight = this.flights.pick(dice);
    if (flight === undefined || dice.once(10))
      return [this.sessions.pick(dice), dice.below(4), dice.bytes(dice.below(80))];
    const level = dice.once(10) ? dice.below(5) : flight.level;
    return [this.sessions.pick(dice), level, this.bent(flight.bytes)];
  }

  /** The same bytes, or a few of them changed, cut off or doubled. */
  private bent(bytes: Uint8Array): Uint8Array {
    const { dice } = this;
    if (dice.once(2) || bytes.length === 0) return bytes;
    const out = dice.once(3) ? bytes.slice(0, dice.below(bytes.length)) : Uint8Array.from(bytes);
    for (let i = dice.below(3); i > 0 && out.length > 0; i--) out[dice.below(out.length)] = dice.below(256);
    return out;
  }

  private request(): Options {
    const { dice } = this;
    const isSigned = dice.once(2);
    return {
      subject: dice.pick(["x", "", "a".repeat(65), "é", "\ud800"]),
      altNames: dice.pick(["", "DNS:x", "IP:1.2.3", "@sect", "dirName:x", "email:copy", "otherName:1;UTF8:x", ",,,"]),
      keyUsage: dice.pick(["", "critical,digitalSignature", "x"]),
      extKeyUsage: dice.pick(["", "serverAuth", "DER:zz", "ASN1:SEQUENCE:x"]),
      keyType: dice.pick(["EC", "ED25519", "ML-DSA-44", "ML-DSA-x", "x"]),
      issuerCert: isSigned ? CA.cert : dice.pick(["", "x"]),
      issuerKey: isSigned ? dice.pick([CA.key, IDENTITY.key, "x"]) : "",
      notBefore: dice.pick([0, 1.7e9, -1e11, 253402300799, 1e300]),
      notAfter: dice.pick([1.8e9, -1, Number.NaN]),
      isCa: dice.once(2),
    };
  }
}

function isDescriptor(value: unknown): boolean {
  return typeof value === "number" && value >= 0 && value < 2 ** 31 && value !== FILE;
}

function codeOf(error: Error): string {
  return String((error as { code?: unknown }).code);
}

/** Errors of the engine itself: a revoked proxy, a constructor called without `new`. */
function isEngineError(error: Error): boolean {
  return error instanceof TypeError && codeOf(error) === "undefined";
}

function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 30));
  if (ArrayBuffer.isView(value)) return `${value.constructor.name}(${(value as Uint8Array).length})`;
  return typeof value === "object" || typeof value === "function" ? typeof value : String(value);
}

async function main(seed: number, calls: number, mode: string): Promise<void> {
  if (mode === "workers") {
    const ended = [seed, seed + 1].map(
      (one) =>
        new Promise<void>((resolve, reject) => {
          const worker = new Worker(fileURLToPath(import.meta.url), { workerData: [one, calls / 2, ""] });
          worker.once("error", reject);
          worker.once("exit", () => resolve());
        }),
    );
    await Promise.all(ended);
    return;
  }
  process.on("uncaughtException", (error) => {
    if (error instanceof Trap || isEngineError(error)) return; // what a callback threw, or one that is a class
    console.error(error);
    process.exit(1);
  });
  const fuzz = new Fuzz(seed, mode === "trace");
  fuzz.checkCases();
  await fuzz.run(calls);
  assert.ok(fuzz.threw > calls / 20 && fuzz.threw < (calls * 19) / 20, `${fuzz.threw} of ${calls} calls threw`);
  assert.ok(fuzz.events > 0, "no socket ever told anything");
}

const [seed, calls, mode = ""] = isMainThread ? process.argv.slice(2) : (workerData as string[]);
await main(Number(seed), Number(calls), mode);
if (isMainThread) console.log("done");
