/** One check: a row, a role, a transport. What scripts call, and what is looked at after each of them. */

import assert from "node:assert/strict";
import { bytes, PING, stream } from "../support/raw-frames.js";
import { RawPeer, type RawPeerOptions, APP } from "../raw/peer.js";
import { V1 } from "../raw/protection.js";
import type { App, DialOptions, Lab, Role, Setup, TransportName } from "./lab.js";
import { rawCa, rawLeaf } from "./lab.js";
import { MemoryLab } from "./memory.js";
import type { Row, Verdict } from "./rows.js";
import { UdpLab } from "./udp.js";

const ECHO_BYTES = 1024;
/** Long enough for an answer that should not come, over UDP. */
const QUIET_UDP_MILLIS = 25;
const QUIET_MEMORY_MILLIS = 1000;

export class Check {
  setup: Setup = {};
  /** What scripts have seen; the runner compares it with the row. */
  closedWith: bigint | null = null;
  aliveAfter = false;
  /** What a client needs to be welcome, for the connections that are looked at after an error. */
  honest: RawPeerOptions = {};
  private currentLab: Lab | null = null;

  constructor(
    readonly row: Row,
    readonly role: Role,
    readonly transport: TransportName,
    readonly verdict: Verdict,
    /** Of first flights. */
    readonly version = V1,
  ) {}

  get isServer(): boolean {
    return this.role === "server";
  }

  get inMemory(): boolean {
    return this.transport === "memory";
  }

  get lab(): Lab {
    if (this.currentLab === null) throw new Error("no peer yet");
    return this.currentLab;
  }

  /** The lab in memory, for what only it can do. */
  get memory(): MemoryLab {
    if (!(this.lab instanceof MemoryLab)) throw new Error("this needs the lab in memory");
    return this.lab;
  }

  private async startLab(): Promise<Lab> {
    if (this.currentLab === null) {
      let seed = this.isServer ? 1 : 2;
      for (const char of this.row.id) seed = (Math.imul(seed, 31) + char.charCodeAt(0)) | 0;
      if (this.version !== V1 && !this.isServer) {
        this.setup = { ...this.setup, config: { firstVersion: this.version, ...this.setup.config } };
      }
      this.currentLab = this.inMemory
        ? new MemoryLab(this.role, this.setup, seed)
        : await UdpLab.start(this.role, this.setup);
    }
    return this.currentLab;
  }

  // --- peers ----------------------------------------------------------------------------------------------------------

  /** A raw peer with a wire. The engine's client has been started; a raw client has said nothing yet. */
  async peer(options: RawPeerOptions = {}, dial: DialOptions = {}): Promise<RawPeer> {
    const lab = await this.startLab();
    const chain = [rawLeaf(), rawCa()];
    const peer = new RawPeer(this.role === "client", { chain, version: this.version, ...options });
    await lab.attach(peer, dial);
    return peer;
  }

  /** Does what starts a handshake. */
  async begin(options: RawPeerOptions = {}, dial: DialOptions = {}): Promise<RawPeer> {
    const peer = await this.peer(options, dial);
    if (this.isServer) peer.hello();
    return peer;
  }

  /** A raw peer whose handshake is complete and confirmed. */
  async connect(options: RawPeerOptions = {}, dial: DialOptions = {}): Promise<RawPeer> {
    const peer = await this.begin(options, dial);
    await this.confirmed(peer);
    return peer;
  }

  async confirmed(peer: RawPeer): Promise<void> {
    const isConfirmed = (): boolean =>
      peer.handshakeDone && (peer.isServer ? this.confirmedAt(peer) : peer.frames("HANDSHAKE_DONE").length > 0);
    const done = await this.lab.until(() => isConfirmed() || peer.closes.length > 0);
    assert.ok(done && isConfirmed(), `no handshake: ${describeCloses(peer)}`);
    await this.lab.until(() => this.lab.app(peer) !== null);
  }

  private confirmedAt(peer: RawPeer): boolean {
    const app = this.lab.app(peer);
    return app !== null && app.conn.stats().handshakeConfirmedAtMicros > 0;
  }

  app(peer: RawPeer): App {
    const app = this.lab.app(peer);
    assert.ok(app !== null, "the application never saw the connection");
    return app;
  }

  // --- time -----------------------------------------------------------------------------------------------------------

  /** Waits for what must come. */
  async until(condition: () => boolean, what: string, millis?: number): Promise<void> {
    assert.ok(await this.lab.until(condition, millis), `this never came: ${what}`);
  }

  /** Long enough for what must not come. */
  async quiet(millis = QUIET_MEMORY_MILLIS): Promise<void> {
    await this.lab.wait(this.inMemory ? millis : Math.min(millis, QUIET_UDP_MILLIS));
  }

  // --- verdicts -------------------------------------------------------------------------------------------------------

  /** CONNECTION_CLOSE with the row's error, on the wire and in the API. */
  async closes(peer: RawPeer, frameType?: number): Promise<void> {
    const { verdict } = this;
    assert.ok(verdict.kind === "close", `${this.row.id} asks for no error`);
    await this.closesWith(peer, verdict.code, frameType);
    this.closedWith = verdict.code;
  }

  async closesWith(peer: RawPeer, code: bigint | number, frameType?: number): Promise<void> {
    await this.lab.until(() => peer.closes.length > 0);
    const [close] = peer.closes;
    assert.ok(close !== undefined, `no CONNECTION_CLOSE; the peer read ${peer.packets.length} packets`);
    assert.equal(close.isApplication, false, "type 0x1c");
    assert.equal(hex(close.code), hex(BigInt(code)), `error code of ${describeCloses(peer)}`);
    if (frameType !== undefined) assert.equal(close.frameType, frameType, `frame type of ${describeCloses(peer)}`);
    const app = this.lab.app(peer);
    if (app === null) return;
    await this.lab.until(() => app.error !== undefined);
    assert.ok(app.error !== undefined && app.error !== null, "the API knows of no error");
    assert.equal(hex(app.error.errorCode), hex(BigInt(code)), "the API's error code");
    assert.equal(app.error.type, "transport");
    assert.equal(app.error.remote, false, "the error is this side's");
    if (frameType !== undefined) assert.equal(app.error.frameType, frameType, "the API's frame type");
  }

  /** The connection goes on: an echo of 1 KiB succeeds, or a PING is acknowledged where the application reads nothing. */
  async usable(peer: RawPeer): Promise<void> {
    if (this.setup.app === "idle") {
      await this.acknowledged(peer);
      this.aliveAfter = true;
      return;
    }
    const id = peer.takeBidi();
    const sent = Buffer.alloc(ECHO_BYTES, id & 255);
    peer.send(APP, stream(id, 0, sent, true));
    const echoed = (): boolean => peer.streams.get(id)?.fin === true;
    await this.lab.until(() => echoed() || peer.closes.length > 0);
    assert.ok(echoed(), `no echo: ${describeCloses(peer)}`);
    assert.deepEqual(peer.streams.get(id)?.data, sent);
    this.aliveAfter = true;
  }

  /** A PING is acknowledged. */
  async acknowledged(peer: RawPeer): Promise<void> {
    const pn = peer.nextPn[2] as number;
    peer.send(APP, PING);
    await this.lab.until(() => isAcked(peer, APP, pn) || peer.closes.length > 0);
    assert.ok(isAcked(peer, APP, pn), `no ACK of a PING: ${describeCloses(peer)}`);
  }

  /** Nothing came back and the endpoint serves others: for what belongs to no connection. */
  async silent(peer: RawPeer): Promise<void> {
    await this.quiet();
    assert.equal(peer.datagrams.length, 0, "nothing comes back");
    await this.others();
    this.aliveAfter = true;
  }

  /** Another connection of the same endpoint is not touched. */
  async others(): Promise<void> {
    await this.usable(await this.connect(this.honest));
  }

  /** `act` makes the counter of this drop reason grow. */
  async dropped(reason: string, act: () => void | Promise<void>): Promise<void> {
    const before = this.lab.drops()[reason] ?? 0;
    await act();
    const now = (): number => this.lab.drops()[reason] ?? 0;
    await this.lab.until(() => now() > before, 1000);
    assert.ok(now() > before, `no drop was counted as "${reason}": ${JSON.stringify(this.lab.drops())}`);
  }

  /** After the script: the row's verdict was looked at, nobody else is hurt, nothing is held. */
  async settle(): Promise<void> {
    const { verdict } = this;
    if (verdict.kind === "close") {
      assert.equal(this.closedWith, verdict.code, "the script did not look for the row's error");
      await this.others();
    } else if (verdict.kind === "alive") {
      assert.ok(this.aliveAfter, "the script did not look whether the connection is usable");
    }
    await this.lab.finish();
  }

  async abandon(): Promise<void> {
    await this.currentLab?.finish().catch(() => {});
  }
}

function hex(code: bigint): string {
  return `0x${code.toString(16)}`;
}

export function describeCloses(peer: RawPeer): string {
  if (peer.closes.length === 0) return "no close was read";
  return peer.closes
    .map(({ level, isApplication, code, frameType, reason }) => {
      const kind = isApplication ? "application" : `frame ${hex(BigInt(frameType))}`;
      return `[level ${level} ${kind} code ${hex(code)} "${reason}"]`;
    })
    .join(" ");
}

/** `count` bytes of data. */
export function filled(count: number, byte = 0x61): Uint8Array {
  return bytes(new Uint8Array(count).fill(byte));
}

/** Whether the engine has acknowledged this packet. */
export function isAcked(peer: RawPeer, level: number, pn: number): boolean {
  return peer.frames("ACK", level).some(({ ranges }) => ranges.some(([first, last]) => first <= pn && pn <= last));
}
