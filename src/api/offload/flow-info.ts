/** Flows as callers describe them (`quic_connection_info`), checked once at the edge. */

import { aeadKeyBytes } from "../../port/aead.js";
import type { AeadId } from "../../port/aead.js";
import { ADDR_COLS } from "../../port/udp.js";
import { setAddressRow } from "../../runtime/address.js";
import { aeadOf, type CipherName, MAX_CID_BYTES } from "./constants.js";
import { OffloadError } from "./error.js";

/** RFC 9001 §5.3. */
const IV_BYTES = 12;

/** Which packets a flow is about. */
export interface FlowKey {
  /** Destination connection id of the packets, 0 to 20 bytes. */
  cid: Uint8Array;
  /** The peer: a literal IPv4 or IPv6 address (`::ffff:a.b.c.d` is the same as `a.b.c.d`). */
  address: string;
  /** 1 to 65535. */
  port: number;
}

/** The keys of one phase of a flow. */
export interface FlowSecrets {
  /** A name, or 51 to 54 as in `TLS_CIPHER_*`. */
  cipher: CipherName | number;
  /** Key Phase bit of the packets that this key protects (RFC 9001 §6). Default 0. */
  keyPhase?: 0 | 1;
  /** 16 bytes for AES-128, 32 for AES-256 and ChaCha20. */
  key: Uint8Array;
  /** 12 bytes. */
  iv: Uint8Array;
  /** Header protection key, as long as `key`; the same in all phases of a flow (RFC 9001 §6.1). */
  headerKey: Uint8Array;
}

export interface TxFlow extends FlowKey, FlowSecrets {}

/** A flow to receive: without an address (not for an empty `cid`) its packets may come from anywhere. */
export interface RxFlow extends FlowSecrets, Omit<FlowKey, "address" | "port"> {
  address?: string;
  port?: number;
  /** What the truncated packet number of the first packet is completed with. Default 0. */
  nextPacketNumber?: number;
}

/** Which flow to delete; with `keyPhase` only its keys of that phase. */
export interface FlowToDelete extends FlowKey {
  keyPhase?: 0 | 1;
}

export interface RxFlowToDelete extends Omit<FlowToDelete, "address" | "port"> {
  address?: string;
  port?: number;
}

export interface CheckedKey {
  /** An address row of port/udp; all zero = any peer. */
  readonly peer: Int32Array;
  readonly cid: Uint8Array;
  /** -1 = not given. */
  readonly keyPhase: -1 | 0 | 1;
}

export interface CheckedFlow extends CheckedKey {
  readonly keyPhase: 0 | 1;
  readonly aead: AeadId;
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
  readonly headerKey: Uint8Array;
}

/** @throws OffloadError `EFAULT` for what is no object or no bytes, `EINVAL` for a wrong value. */
export function checkKey(given: FlowToDelete | RxFlowToDelete, anyPeer: boolean): CheckedKey {
  if (typeof given !== "object" || given === null)
    throw new OffloadError("EFAULT", "setsockopt", "a flow is an object");
  const cid = bytes("cid", given.cid);
  if (cid.length > MAX_CID_BYTES) throw invalid(`cid of ${cid.length} bytes, at most ${MAX_CID_BYTES}`);
  const { address, port, keyPhase = -1 } = given;
  if (keyPhase !== -1 && keyPhase !== 0 && keyPhase !== 1) throw invalid(`keyPhase ${String(keyPhase)}, not 0 or 1`);
  const peer = new Int32Array(ADDR_COLS);
  if (anyPeer && address === undefined && port === undefined) {
    if (cid.length === 0) throw invalid("a flow without a connection id needs the address and port of its peer");
  } else {
    setPeer(peer, address, port, "setsockopt");
  }
  return { peer, cid: cid.slice(), keyPhase };
}

/** @throws OffloadError as `checkKey` does. The secrets are not copied. */
export function checkFlow(given: TxFlow | RxFlow, anyPeer: boolean): CheckedFlow {
  const checked = checkKey(given, anyPeer);
  const aead = aeadOf(given.cipher);
  if (aead === undefined) throw invalid(`unknown cipher ${String(given.cipher)}`);
  const wanted = aeadKeyBytes(aead);
  return {
    peer: checked.peer,
    cid: checked.cid,
    keyPhase: checked.keyPhase === 1 ? 1 : 0,
    aead,
    key: bytesOf("key", given.key, wanted),
    iv: bytesOf("iv", given.iv, IV_BYTES),
    headerKey: bytesOf("headerKey", given.headerKey, wanted),
  };
}

/** Fills an address row. @throws OffloadError `EINVAL` for what is no literal address or no port. */
export function setPeer(row: Int32Array, address: unknown, port: unknown, syscall: "setsockopt" | "sendmsg"): void {
  if (typeof port !== "number" || !(Number.isInteger(port) && port >= 1 && port <= 65535)) {
    throw new OffloadError("EINVAL", syscall, `port ${String(port)}, not 1 to 65535`);
  }
  if (typeof address !== "string" || !setAddressRow(row, 0, address, port)) {
    throw new OffloadError("EINVAL", syscall, `${JSON.stringify(address)} is no literal IPv4 or IPv6 address`);
  }
}

/** The bytes of a view or buffer, not copied; null for anything else. */
export function viewOf(given: unknown): Uint8Array | null {
  if (given instanceof Uint8Array) return given;
  if (ArrayBuffer.isView(given)) return new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
  return given instanceof ArrayBuffer ? new Uint8Array(given) : null;
}

function bytes(name: string, given: unknown): Uint8Array {
  const view = viewOf(given);
  if (view === null) throw new OffloadError("EFAULT", "setsockopt", `${name} must be a Uint8Array`);
  return view;
}

function bytesOf(name: string, given: unknown, length: number): Uint8Array {
  const view = bytes(name, given);
  if (view.length !== length) throw invalid(`${name} of ${view.length} bytes, not ${length}`);
  return view;
}

function invalid(message: string): OffloadError {
  return new OffloadError("EINVAL", "setsockopt", message);
}
