/**
 * The flows of one socket in one direction, found by peer address, port and connection id.
 *
 * Invariant: a flow has a header key and the packet key of at least one phase; a slot is freed when its flow goes.
 */

import type { AeadId, AeadPort } from "../../port/aead.js";
import { ADDR_IP0, ADDR_PORT } from "../../port/udp.js";
import { MAX_CID_BYTES } from "./constants.js";
import { OffloadError } from "./error.js";
import type { CheckedFlow, CheckedKey } from "./flow-info.js";
import { digestOf, type KeyRing, type PacketKey } from "./key-ring.js";

/** Columns of an address row that identify a peer: four words and the port. */
const PEER_COLS = ADDR_PORT + 1;

export interface Flow {
  /** An address row; all zero = any peer. */
  readonly peer: Int32Array;
  readonly cid: Uint8Array;
  readonly aead: AeadId;
  readonly headerSlot: number;
  readonly headerDigest: string;
  /** Packet keys by Key Phase bit. */
  readonly keys: [PacketKey | null, PacketKey | null];
  /** Receive side: largest packet number opened, -1 = none. */
  largestPn: number;
}

export class FlowTable {
  /** Flows in the table. */
  count = 0;
  /** Connection id lengths in use: the number of flows by length. */
  readonly byCidLength = new Uint32Array(MAX_CID_BYTES + 1);
  private readonly aead: AeadPort;
  private readonly ring: KeyRing;
  private readonly buckets = new Map<number, Flow[]>();
  /** The flow found last: the packets of a batch mostly share one. */
  private last: Flow | null = null;

  constructor(aead: AeadPort, ring: KeyRing) {
    this.aead = aead;
    this.ring = ring;
  }

  /**
   * Adds a flow, or a key phase to one that is there; true for a new flow.
   *
   * @throws OffloadError `EEXIST` when the flow has a key of that phase, `ENOENT` for a cipher that this machine lacks,
   *   `EINVAL` when its phases would differ in cipher or header key (RFC 9001 §6.1).
   */
  add(info: CheckedFlow, largestPn: number): Flow | null {
    if (!this.aead.supports(info.aead)) throw failed("ENOENT", "this machine's crypto library lacks the cipher");
    const headerDigest = digestOf(info.aead, info.headerKey);
    const found = this.find(info.peer, 0, info.cid, 0, info.cid.length);
    if (found !== null) {
      if (found.keys[info.keyPhase] !== null) {
        throw failed("EEXIST", `the flow has a key of phase ${info.keyPhase}; delete that first`);
      }
      if (found.headerDigest !== headerDigest) {
        throw failed("EINVAL", "the phases of a flow share its cipher and its header protection key");
      }
      found.keys[info.keyPhase] = this.ring.take(info.aead, info.key, info.iv);
      return null;
    }
    const flow: Flow = {
      peer: info.peer,
      cid: info.cid,
      aead: info.aead,
      headerSlot: this.aead.newHeaderKey(info.aead, info.headerKey),
      headerDigest,
      keys: [null, null],
      largestPn,
    };
    flow.keys[info.keyPhase] = this.ring.take(info.aead, info.key, info.iv);
    const hash = hashOf(flow.peer, 0, flow.cid, 0, flow.cid.length);
    const bucket = this.buckets.get(hash);
    if (bucket === undefined) this.buckets.set(hash, [flow]);
    else bucket.push(flow);
    this.count++;
    this.byCidLength[flow.cid.length]++;
    return flow;
  }

  /**
   * Deletes a flow, or its key of one phase (and the flow with its last one); true when the flow is gone.
   *
   * @throws OffloadError `EINVAL` when there is none.
   */
  delete(key: CheckedKey): boolean {
    const flow = this.find(key.peer, 0, key.cid, 0, key.cid.length);
    if (flow === null) throw failed("EINVAL", "no such flow");
    const { keys } = flow;
    if (key.keyPhase !== -1) {
      const one = keys[key.keyPhase];
      if (one === null) throw failed("EINVAL", `the flow has no key of phase ${key.keyPhase}`);
      if (keys[1 - key.keyPhase] !== null) {
        keys[key.keyPhase] = null;
        this.ring.release(one);
        return false;
      }
    }
    const hash = hashOf(flow.peer, 0, flow.cid, 0, flow.cid.length);
    const bucket = this.buckets.get(hash) as Flow[];
    bucket.splice(bucket.indexOf(flow), 1);
    if (bucket.length === 0) this.buckets.delete(hash);
    this.forget(flow);
    return true;
  }

  /** The flow of the peer at `peers[peerAt...]` with the connection id buf[cidAt, cidAt + cidLength); null = none. */
  find(peers: Int32Array, peerAt: number, buf: Uint8Array, cidAt: number, cidLength: number): Flow | null {
    const { last } = this;
    if (last !== null && isFlow(last, peers, peerAt, buf, cidAt, cidLength)) return last;
    const bucket = this.buckets.get(hashOf(peers, peerAt, buf, cidAt, cidLength));
    if (bucket === undefined) return null;
    for (const flow of bucket) {
      if (!isFlow(flow, peers, peerAt, buf, cidAt, cidLength)) continue;
      this.last = flow;
      return flow;
    }
    return null;
  }

  /** Deletes all flows. */
  clear(): void {
    for (const bucket of this.buckets.values()) for (const flow of bucket) this.forget(flow);
    this.buckets.clear();
  }

  private forget(flow: Flow): void {
    for (const key of flow.keys) if (key !== null) this.ring.release(key);
    this.aead.freeHeaderKey(flow.headerSlot);
    this.count--;
    this.byCidLength[flow.cid.length]--;
    if (this.last === flow) this.last = null;
  }
}

/** FNV-1a over the words of the peer and the bytes of the connection id. */
function hashOf(peers: Int32Array, peerAt: number, buf: Uint8Array, cidAt: number, cidLength: number): number {
  let hash = 0x811c9dc5;
  for (let i = ADDR_IP0; i < PEER_COLS; i++) hash = Math.imul(hash ^ peers[peerAt + i], 0x01000193);
  for (let i = 0; i < cidLength; i++) hash = Math.imul(hash ^ buf[cidAt + i], 0x01000193);
  return hash;
}

function isFlow(
  flow: Flow,
  peers: Int32Array,
  peerAt: number,
  buf: Uint8Array,
  cidAt: number,
  cidLength: number,
): boolean {
  const { peer, cid } = flow;
  if (cid.length !== cidLength) return false;
  for (let i = ADDR_IP0; i < PEER_COLS; i++) if (peer[i] !== peers[peerAt + i]) return false;
  for (let i = 0; i < cidLength; i++) if (cid[i] !== buf[cidAt + i]) return false;
  return true;
}

function failed(code: "EEXIST" | "EINVAL" | "ENOENT", message: string): OffloadError {
  return new OffloadError(code, "setsockopt", message);
}
