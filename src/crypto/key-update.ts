/**
 * The 1-RTT packet keys and their phases (RFC 9001 §6). Read keys are held for up to three phases: the previous one for
 * packets that were delayed, the current one, and the next, derived before anyone uses it so that an apparent update
 * costs no more time than any other packet (RFC 9001 §6.3, §9.5). The write key is one: packets are never sent with
 * old keys.
 *
 *   read:   previous ---- current ---- next        write:   current
 *              |             |           |                     |
 *           dropped 3 PTO    |     a packet opens with it: the peer updated, write follows, all move one step left
 *           after current    |
 *           was first used   '---- `initiate`: we updated, all move one step left
 *
 * Packets in the clear (`installPlain`) have one slot each way for good: there is no secret to go on from, we never update,
 * and the Key Phase bit of the peer means nothing.
 *
 * Invariants: write is never behind read; a second step needs a packet of ours in between (RFC 9001 §6.2); no slot is
 * freed twice or forgotten.
 */

import { unreachable } from "../base/unreachable.js";
import { AEAD_NONE, type AeadId, type AeadPort } from "../port/aead.js";
import { KEY_UPDATE_ERROR } from "../proto/transport-error.js";
import { phaseKeys } from "./schedule.js";

export const NO_SLOT = -1;

/** What the port wants of any key; nothing is done with it. */
const PLAIN_IV_BYTES = 12;

/** Old read keys are dropped this many PTOs after the new ones were first used (RFC 9001 §6.5); the same wait separates
 *  two updates of ours (RFC 9001 §6.5). */
const KEEP_OLD_PTOS = 3;

/** A secret that can take the next step. */
interface Chain {
  readonly aeadId: AeadId;
  readonly version: number;
  /** Secret of the phase after the last one that got a slot. */
  secret: Uint8Array;
}

export class KeyPhases {
  /** Slots of the aead port, NO_SLOT when absent. */
  readSlot = NO_SLOT;
  writeSlot = NO_SLOT;
  /** Key Phase bit of `readSlot` and of `writeSlot`. */
  readPhase: 0 | 1 = 0;
  writePhase: 0 | 1 = 0;
  /** Packets sealed with `writeSlot`. */
  sealedPackets = 0;
  /** When the previous read keys are dropped, microseconds; `Infinity` = nothing to drop yet. */
  deadlineMicros = Infinity;
  /** Updates so far, of either side. */
  updates = 0;
  private nextSlot = NO_SLOT;
  private previousSlot = NO_SLOT;
  private read: Chain | null = null;
  private write: Chain | null = null;
  /** Smallest packet number opened with the current read keys. */
  private firstReadPn = Infinity;
  /** First packet number sent with the current write key. */
  private firstSentPn = Infinity;
  /** From when on we may update; `Infinity` until a packet of the current phase was acknowledged (RFC 9001 §6.1). */
  private mayUpdateMicros = Infinity;
  private confirmed = false;
  /** We sent in this phase, so the peer may go to the next (RFC 9001 §6.2). */
  private answered = false;
  private readonly aead: AeadPort;
  private readonly isServer: boolean;

  constructor(aead: AeadPort, isServer: boolean) {
    this.aead = aead;
    this.isServer = isServer;
  }

  /**
   * A Handshake packet of ours was sealed. The first update of a server needs no acknowledgement, only a handshake that it
   * alone knows to be confirmed: the packet in which our Finished leaves, the first one after the read keys came.
   */
  onHandshakeSealed(): void {
    if (!this.isServer && this.read !== null) this.answered = true;
  }

  installRead(version: number, aeadId: AeadId, secret: Uint8Array): void {
    this.freeRead();
    this.read = { aeadId, version, secret: secret.slice() };
    this.readSlot = this.step(this.read);
    this.nextSlot = this.step(this.read);
  }

  installWrite(version: number, aeadId: AeadId, secret: Uint8Array): void {
    this.freeWrite();
    this.write = { aeadId, version, secret: secret.slice() };
    this.writeSlot = this.step(this.write);
  }

  /** The slots of a connection whose 1-RTT packets are in the clear. */
  installPlain(direction: "read" | "write"): void {
    const slot = this.aead.newKey(AEAD_NONE, new Uint8Array(0), new Uint8Array(PLAIN_IV_BYTES));
    if (direction === "read") {
      this.freeRead();
      this.readSlot = slot;
    } else {
      this.freeWrite();
      this.writeSlot = slot;
    }
  }

  /** The handshake is confirmed (RFC 9001 §4.1.2): updates may start. */
  onConfirmed(): void {
    this.confirmed = true;
  }

  /** The slot to open a packet with (RFC 9001 §6.5). One is always there once read keys are installed. */
  readKeyFor(phase: number, pn: number): number {
    if (phase === this.readPhase || this.read === null) return this.readSlot;
    return pn < this.firstReadPn && this.previousSlot !== NO_SLOT ? this.previousSlot : this.nextSlot;
  }

  /** Whether `slot`, as chosen by `readKeyFor`, would be an update by the peer. */
  isNext(slot: number): boolean {
    return slot === this.nextSlot;
  }

  /** Where a packet that does not open with the next key may belong: old keys above newer ones, which is an error. */
  get oldSlot(): number {
    return this.previousSlot;
  }

  /** A packet was opened with `slot`. Returns 0 or KEY_UPDATE_ERROR (RFC 9001 §6.2, §6.4). */
  onOpened(slot: number, pn: number): number {
    if (slot === this.readSlot) {
      if (pn < this.firstReadPn) this.firstReadPn = pn;
      return 0;
    }
    if (slot !== this.nextSlot) return pn > this.firstReadPn ? KEY_UPDATE_ERROR : 0;
    if (!this.answered || this.writeSlot === NO_SLOT) return KEY_UPDATE_ERROR;
    this.stepRead();
    this.firstReadPn = pn;
    if (this.writePhase !== this.readPhase) this.stepWrite();
    return 0;
  }

  /** After a batch was opened: starts the clock of the previous keys once the new ones are in use. */
  afterOpen(nowMicros: number, ptoMicros: number): void {
    if (this.previousSlot === NO_SLOT || this.firstReadPn === Infinity || this.deadlineMicros !== Infinity) return;
    this.deadlineMicros = nowMicros + KEEP_OLD_PTOS * ptoMicros;
  }

  onDeadline(nowMicros: number): void {
    if (nowMicros >= this.deadlineMicros) this.freePrevious();
  }

  /** `count` packets from `firstPn` on were sealed with the current write key. */
  onSealed(firstPn: number, count: number): void {
    this.sealedPackets += count;
    if (firstPn < this.firstSentPn) this.firstSentPn = firstPn;
    if (this.confirmed || !this.isServer) this.answered = true;
  }

  /**
   * An ACK up to `largestAcked` came in a packet with this Key Phase bit. Returns 0, or KEY_UPDATE_ERROR when a packet
   * of old keys acknowledges one of new keys (RFC 9001 §6.2).
   */
  onAcked(largestAcked: number, phase: number, nowMicros: number, ptoMicros: number): number {
    if (largestAcked < this.firstSentPn) return 0;
    if (phase !== this.readPhase && this.read !== null) return KEY_UPDATE_ERROR;
    if (this.mayUpdateMicros === Infinity) {
      this.mayUpdateMicros = this.updates === 0 ? nowMicros : nowMicros + KEEP_OLD_PTOS * ptoMicros;
    }
    return 0;
  }

  /** Whether we may update now (RFC 9001 §6.1, §6.5). */
  canUpdate(nowMicros: number): boolean {
    return nowMicros >= this.mayUpdateAtMicros;
  }

  /** The latest keys are in use, and no packet of them was acknowledged. */
  get isUpdating(): boolean {
    return this.updates > 0 && this.mayUpdateMicros === Infinity;
  }

  /** From when on we may update, microseconds; Infinity = something has to arrive first. */
  get mayUpdateAtMicros(): number {
    return this.confirmed && this.read !== null && this.write !== null ? this.mayUpdateMicros : Infinity;
  }

  /** Takes new keys both ways. Only between batches: no packet that is built but not sealed may use the old slot. */
  initiate(): void {
    this.stepRead();
    this.stepWrite();
  }

  /** Nothing is sealed or opened for a while. */
  rest(): void {
    for (const slot of [this.readSlot, this.writeSlot]) if (slot !== NO_SLOT) this.aead.restKey(slot);
  }

  /** Frees the read slots and overwrites the secret. */
  freeRead(): void {
    this.freePrevious();
    this.readSlot = this.freeSlot(this.readSlot);
    this.nextSlot = this.freeSlot(this.nextSlot);
    this.read?.secret.fill(0);
    this.read = null;
  }

  freeWrite(): void {
    this.writeSlot = this.freeSlot(this.writeSlot);
    this.write?.secret.fill(0);
    this.write = null;
  }

  private stepRead(): void {
    if (this.read === null) unreachable("key update without read keys");
    this.freePrevious();
    this.previousSlot = this.readSlot;
    this.readSlot = this.nextSlot;
    // Only a packet that was authenticated, or our own wish, leads here, so the time this takes tells a forger nothing.
    this.nextSlot = this.step(this.read);
    this.readPhase = this.readPhase === 0 ? 1 : 0;
    this.firstReadPn = Infinity;
  }

  private stepWrite(): void {
    if (this.write === null) unreachable("key update without a write key");
    this.aead.freeKey(this.writeSlot);
    this.writeSlot = this.step(this.write);
    this.writePhase = this.writePhase === 0 ? 1 : 0;
    this.updates++;
    this.sealedPackets = 0;
    this.firstSentPn = Infinity;
    this.mayUpdateMicros = Infinity;
    this.answered = false;
  }

  /** A slot for the chain's secret; the chain moves on. */
  private step(chain: Chain): number {
    const { version, aeadId, secret } = chain;
    const { key, iv, nextSecret } = phaseKeys(version, aeadId, secret, this.aead);
    chain.secret = nextSecret.slice();
    nextSecret.fill(0);
    secret.fill(0);
    const slot = this.aead.newKey(aeadId, key, iv);
    key.fill(0);
    return slot;
  }

  private freePrevious(): void {
    this.previousSlot = this.freeSlot(this.previousSlot);
    this.deadlineMicros = Infinity;
  }

  private freeSlot(slot: number): typeof NO_SLOT {
    if (slot !== NO_SLOT) this.aead.freeKey(slot);
    return NO_SLOT;
  }
}
