/**
 * All packet protection keys of one connection, by encryption level and direction (RFC 9001 §4.9, §5), as slots of the
 * aead port, and the counts that bound their use (RFC 9001 §6.6). 1-RTT packet keys live in `key-update`.
 *
 * Invariant: each slot is owned here from the moment it is made and is freed exactly once: by `discard`, by `destroy`,
 * or because other keys take its place.
 */

import { unreachable } from "../base/unreachable.js";
import {
  AEAD_AES_128_CCM,
  AEAD_AES_128_GCM,
  AEAD_CHACHA20_POLY1305,
  AEAD_NONE,
  aeadTagBytes,
  TAG_BYTES,
} from "../port/aead.js";
import type { AeadId, AeadPort } from "../port/aead.js";
import { LEVEL_APP, LEVEL_HANDSHAKE, LEVEL_INITIAL, LEVELS } from "../port/tls.js";
import type { Level } from "../port/tls.js";
import {
  CONFIDENTIALITY_LIMIT_CCM,
  CONFIDENTIALITY_LIMIT_GCM,
  INTEGRITY_LIMIT_CCM,
  INTEGRITY_LIMIT_CHACHA,
  INTEGRITY_LIMIT_GCM,
  KEY_UPDATE_PACKETS,
} from "../proto/limits.js";
import { AEAD_LIMIT_REACHED } from "../proto/transport-error.js";
import { KeyPhases, NO_SLOT } from "./key-update.js";
import { headerKey, initialSecrets, packetKeys } from "./schedule.js";

/** Bounds that tests lower; undefined = the value of proto/limits for the AEAD in use. */
export interface KeyLimits {
  /** Packets after which we want new keys. */
  updatePackets?: number;
  /** Packets sealed with one key, at most. */
  confidentialityPackets?: number;
  /** Packets that did not open, over the whole connection, at most. */
  integrityPackets?: number;
}

type Direction = "read" | "write";

export class KeySet {
  /** The 1-RTT packet keys. */
  readonly phases: KeyPhases;
  /** Packets that failed to open, over the whole connection. */
  failedOpens = 0;
  /** 1-RTT packets are in the clear: neither encrypted nor authenticated. */
  isPlain = false;
  /** Tag of 1-RTT packets. */
  appTagBytes = TAG_BYTES;
  private readonly aead: AeadPort;
  private readonly isServer: boolean;
  private readonly limits: KeyLimits;
  /** Slots by level; those of LEVEL_APP packet keys stay NO_SLOT, `phases` has them. */
  private readonly readKeys = columns(NO_SLOT);
  private readonly readHps = columns(NO_SLOT);
  private readonly writeKeys = columns(NO_SLOT);
  private readonly writeHps = columns(NO_SLOT);
  private readonly readAeads = columns(0);
  private readonly writeAeads = columns(0);
  private readonly sealedPackets = columns(0);
  /** Of the Initial keys to read with: of those in place, and of those that wait for `readInitial`. */
  private initialVersion = 0;
  private spareVersion = 0;
  private spareKey = NO_SLOT;
  private spareHp = NO_SLOT;
  private discardedLevels = 0;
  private isUpdateWanted = false;

  constructor(aead: AeadPort, isServer: boolean, limits: KeyLimits = {}) {
    this.aead = aead;
    this.isServer = isServer;
    this.limits = limits;
    this.phases = new KeyPhases(aead, isServer);
  }

  /**
   * Initial keys from the client's Destination Connection ID (RFC 9001 §5.2). Again after a Retry or a Version Negotiation
   * packet: all others are freed.
   */
  installInitial(version: number, dcid: Uint8Array): void {
    this.freeSpare();
    this.initialVersion = version;
    const { client, server } = initialSecrets(version, dcid, this.aead);
    this.install(LEVEL_INITIAL, "read", AEAD_AES_128_GCM, this.isServer ? client : server, version);
    this.install(LEVEL_INITIAL, "write", AEAD_AES_128_GCM, this.isServer ? server : client, version);
  }

  /**
   * Puts the keys in place that open Initial packets of this version, for as long as either may come (RFC 9369 §4.1). They
   * are made at their first use; the others wait, those of a third version go.
   */
  readInitial(version: number, dcid: Uint8Array): void {
    if (version === this.initialVersion || !this.canRead(LEVEL_INITIAL)) return;
    const { initialVersion, readKeys, readHps } = this;
    if (version !== this.spareVersion) {
      this.freeSpare();
      const { client, server } = initialSecrets(version, dcid, this.aead);
      const { key, iv, hp } = packetKeys(version, AEAD_AES_128_GCM, this.isServer ? client : server, this.aead);
      this.spareKey = this.aead.newKey(AEAD_AES_128_GCM, key, iv);
      this.spareHp = this.aead.newHeaderKey(AEAD_AES_128_GCM, hp);
      key.fill(0);
      hp.fill(0);
    }
    const key = readKeys[LEVEL_INITIAL];
    const hp = readHps[LEVEL_INITIAL];
    readKeys[LEVEL_INITIAL] = this.spareKey;
    readHps[LEVEL_INITIAL] = this.spareHp;
    this.spareKey = key;
    this.spareHp = hp;
    this.initialVersion = version;
    this.spareVersion = initialVersion;
  }

  /** Initial packets are sealed in this version from now on (RFC 9369 §4.1); the keys to read with stay as they are. */
  writeInitial(version: number, dcid: Uint8Array): void {
    const { client, server } = initialSecrets(version, dcid, this.aead);
    this.install(LEVEL_INITIAL, "write", AEAD_AES_128_GCM, this.isServer ? server : client, version);
  }

  /**
   * 1-RTT packets will be in the clear, because both sides asked for it (PARAM_DISABLE_1RTT_ENCRYPTION). Before there are
   * 1-RTT keys; packets of all other levels stay protected.
   */
  usePlain(): void {
    if (this.canRead(LEVEL_APP) || this.canWrite(LEVEL_APP)) unreachable("plain packets after encrypted ones");
    this.isPlain = true;
    this.appTagBytes = aeadTagBytes(AEAD_NONE);
  }

  /** Takes a traffic secret from TLS (RFC 9001 §5.1); `secret` is not kept and stays as it is. */
  install(level: Level, direction: Direction, aeadId: AeadId, secret: Uint8Array, version: number): void {
    this.free(level, direction);
    const isRead = direction === "read";
    (isRead ? this.readAeads : this.writeAeads)[level] = aeadId;
    if (!isRead) this.sealedPackets[level] = 0;
    const hps = isRead ? this.readHps : this.writeHps;
    if (level === LEVEL_APP && this.isPlain) {
      hps[level] = this.aead.newHeaderKey(AEAD_NONE, new Uint8Array(0));
      this.phases.installPlain(direction);
      return;
    }
    if (level === LEVEL_APP) {
      const hp = headerKey(version, aeadId, secret, this.aead);
      hps[level] = this.aead.newHeaderKey(aeadId, hp);
      hp.fill(0);
      if (isRead) this.phases.installRead(version, aeadId, secret);
      else this.phases.installWrite(version, aeadId, secret);
      return;
    }
    const { key, iv, hp } = packetKeys(version, aeadId, secret, this.aead);
    hps[level] = this.aead.newHeaderKey(aeadId, hp);
    hp.fill(0);
    (isRead ? this.readKeys : this.writeKeys)[level] = this.aead.newKey(aeadId, key, iv);
    key.fill(0);
  }

  canRead(level: Level): boolean {
    return this.readHps[level] !== NO_SLOT;
  }

  canWrite(level: Level): boolean {
    return this.writeHps[level] !== NO_SLOT;
  }

  /** Whether the keys of this level were there and are gone for good: its packets are dropped, not kept for later. */
  wasDiscarded(level: Level): boolean {
    return (this.discardedLevels & (1 << level)) !== 0;
  }

  /** Frees both directions of a level (RFC 9001 §4.9). */
  discard(level: Level): void {
    this.free(level, "read");
    this.free(level, "write");
    if (level === LEVEL_INITIAL) this.freeSpare();
    this.discardedLevels |= 1 << level;
  }

  /** Frees everything; idempotent. */
  destroy(): void {
    for (let level = 0; level < LEVELS; level++) this.discard(level as Level);
  }

  /** Slot of the packet key; for LEVEL_APP that of the current phase, see `phases.readKeyFor`. */
  readKey(level: Level): number {
    return level === LEVEL_APP ? this.phases.readSlot : this.readKeys[level];
  }

  readHp(level: Level): number {
    return this.readHps[level];
  }

  writeKey(level: Level): number {
    return level === LEVEL_APP ? this.phases.writeSlot : this.writeKeys[level];
  }

  writeHp(level: Level): number {
    return this.writeHps[level];
  }

  /** Key Phase bit of the 1-RTT packets that we send. */
  get keyPhase(): 0 | 1 {
    return this.phases.writePhase;
  }

  /**
   * `count` packets of `level` from number `firstPn` on were sealed. Returns AEAD_LIMIT_REACHED when the key is used up
   * and no other took its place: nothing more may be sent with it (RFC 9001 §6.6).
   */
  onSealed(level: Level, firstPn: number, count: number): number {
    if (level === LEVEL_APP) this.phases.onSealed(firstPn, count);
    else this.sealedPackets[level] += count;
    if (level === LEVEL_HANDSHAKE) this.phases.onHandshakeSealed();
    return this.sealBudget(level) > 0 ? 0 : AEAD_LIMIT_REACHED;
  }

  /** Packets that may still be sealed with the present key of `level`. */
  sealBudget(level: Level): number {
    const sealed = level === LEVEL_APP ? this.phases.sealedPackets : this.sealedPackets[level];
    return this.confidentialityLimit(level) - sealed;
  }

  /** A packet of `level` did not open. Returns AEAD_LIMIT_REACHED when there were too many (RFC 9001 §6.6), else 0. */
  onOpenFailed(level: Level): number {
    this.failedOpens++;
    return this.failedOpens > this.integrityLimit(level) ? AEAD_LIMIT_REACHED : 0;
  }

  /** The 1-RTT write key has been used enough: `initiateUpdate` as soon as `canUpdate`. */
  get needsUpdate(): boolean {
    if (this.isPlain) return false;
    const wanted = this.limits.updatePackets ?? KEY_UPDATE_PACKETS;
    // Half of the hard limit at most, so that a peer that is slow to acknowledge does not end the connection.
    return this.phases.sealedPackets >= Math.min(wanted, this.confidentialityLimit(LEVEL_APP) / 2);
  }

  canUpdate(nowMicros: number): boolean {
    return this.phases.canUpdate(nowMicros);
  }

  /** New keys as soon as they are allowed; a wish beside one that waits is the same wish. False: there are no keys. */
  requestUpdate(): boolean {
    this.isUpdateWanted = !this.isPlain;
    return this.isUpdateWanted;
  }

  /** New keys are wished for, or in use and not acknowledged yet. */
  get isUpdating(): boolean {
    return this.isUpdateWanted || this.phases.isUpdating;
  }

  /** When the wish for new keys can come true, microseconds; Infinity = there is none, or an ACK has to come first. */
  get updateDeadlineMicros(): number {
    return this.isUpdateWanted ? this.phases.mayUpdateAtMicros : Infinity;
  }

  /** Fulfils the wish for new keys if that is allowed now; true = it was. Between batches only. */
  takeWantedUpdate(nowMicros: number): boolean {
    if (!this.isUpdateWanted || !this.initiateUpdate(nowMicros)) return false;
    this.isUpdateWanted = false;
    return true;
  }

  /** Starts a key update (RFC 9001 §6.1), between batches only. False when it is not allowed now. */
  initiateUpdate(nowMicros: number): boolean {
    if (!this.phases.canUpdate(nowMicros)) return false;
    this.phases.initiate();
    return true;
  }

  private confidentialityLimit(level: Level): number {
    const given = this.limits.confidentialityPackets;
    if (given !== undefined) return given;
    if (level === LEVEL_APP && this.isPlain) return Infinity;
    const aeadId = this.writeAeads[level];
    if (aeadId === AEAD_CHACHA20_POLY1305) return Infinity;
    return aeadId === AEAD_AES_128_CCM ? CONFIDENTIALITY_LIMIT_CCM : CONFIDENTIALITY_LIMIT_GCM;
  }

  private integrityLimit(level: Level): number {
    const given = this.limits.integrityPackets;
    if (given !== undefined) return given;
    const aeadId = this.readAeads[level];
    if (aeadId === AEAD_CHACHA20_POLY1305) return INTEGRITY_LIMIT_CHACHA;
    return aeadId === AEAD_AES_128_CCM ? INTEGRITY_LIMIT_CCM : INTEGRITY_LIMIT_GCM;
  }

  private freeSpare(): void {
    this.spareVersion = 0;
    if (this.spareKey === NO_SLOT) return;
    this.aead.freeKey(this.spareKey);
    this.aead.freeHeaderKey(this.spareHp);
    this.spareKey = this.spareHp = NO_SLOT;
  }

  private free(level: Level, direction: Direction): void {
    const keys = direction === "read" ? this.readKeys : this.writeKeys;
    const hps = direction === "read" ? this.readHps : this.writeHps;
    if (hps[level] === NO_SLOT) return;
    this.aead.freeHeaderKey(hps[level]);
    hps[level] = NO_SLOT;
    if (level !== LEVEL_APP) this.aead.freeKey(keys[level]);
    else if (direction === "read") this.phases.freeRead();
    else this.phases.freeWrite();
    keys[level] = NO_SLOT;
  }
}

/** A number per level. A plain array: four numbers in a typed one take three times the memory of every connection. */
function columns(initial: number): number[] {
  return new Array<number>(LEVELS).fill(initial);
}
