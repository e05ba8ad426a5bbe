/** The arguments of `send`, checked once; and messages that wait for more (`MSG_MORE`). */

import { unreachable } from "../../base/unreachable.js";
import { ADDR_COLS } from "../../port/udp.js";
import { MAX_CID_BYTES, QUIC_BYPASS_ENCRYPTION } from "./constants.js";
import { type OffloadCall, OffloadError } from "./error.js";
import { viewOf } from "./flow-info.js";
import type { Message } from "./transmit.js";

const MAX_GSO_SIZE = 65_535;

export interface SendOptions {
  /** A literal IPv4 or IPv6 address. */
  address: string;
  /** 1 to 65535. */
  port: number;
  /** `UDP_SEGMENT` of this message: bytes of each datagram on the wire but the last. Default: that of the socket. */
  gsoSize?: number;
  /** What the truncated packet numbers are completed with: the next number of the connection, 0 to 2^53-1. */
  nextPacketNumber?: number;
  /** Length of the connection id in the packets, 0 to 20 bytes. */
  cidLength?: number;
  /** Sends short header packets as they are. Default false. */
  bypass?: boolean;
  /** The same as a number: `QUIC_BYPASS_ENCRYPTION` or 0. */
  flags?: number;
  /** `MSG_MORE`: an ordinary message waits for the next one and leaves with it. Not for packets to protect. */
  more?: boolean;
}

const KNOWN = new Set(["address", "port", "gsoSize", "nextPacketNumber", "cidLength", "bypass", "flags", "more"]);

export function checkPieces(data: unknown): readonly Uint8Array[] {
  const given: unknown[] = Array.isArray(data) ? data : [data];
  return given.map((piece) => {
    const view = viewOf(piece);
    if (view === null) throw new OffloadError("EFAULT", "sendmsg", "data must be a Uint8Array or an array of them");
    return view;
  });
}

/** @throws OffloadError `EFAULT` for no object, `EINVAL` for an option that is not known. */
export function checkOptions(options: SendOptions): void {
  if (typeof options !== "object" || options === null) {
    throw new OffloadError("EFAULT", "sendmsg", "options must be an object with address and port");
  }
  for (const name of Object.keys(options)) if (!KNOWN.has(name)) throw invalid(`unknown option ${name}`);
}

export function checkGsoSize(value: unknown, call: OffloadCall): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_GSO_SIZE) return value;
  throw new OffloadError("EINVAL", call, `gsoSize ${String(value)}, not 0 to ${MAX_GSO_SIZE}`);
}

/**
 * The ancillary data of a message (`quic_tx_ancillary_data`); null = it goes out as it is.
 *
 * @throws OffloadError `EINVAL` when it is wrong, missing though it `isNeeded`, or there though nobody reads it.
 */
export function checkAncillary(options: SendOptions, isNeeded: boolean): { nextPn: number; cidLength: number } | null {
  const { nextPacketNumber, cidLength, bypass = false, flags = 0 } = options;
  if (!isNeeded) {
    const isGiven = nextPacketNumber !== undefined || cidLength !== undefined || bypass || flags !== 0;
    if (isGiven) throw invalid("attach quic-crypto first: nothing here protects packets");
    return null;
  }
  if (!Number.isInteger(flags) || (flags & ~QUIC_BYPASS_ENCRYPTION) !== 0 || flags > QUIC_BYPASS_ENCRYPTION) {
    throw invalid(`unknown flags ${String(flags)}`);
  }
  if (bypass || flags === QUIC_BYPASS_ENCRYPTION) return null;
  if (nextPacketNumber === undefined || cidLength === undefined) {
    throw invalid("short header packets need nextPacketNumber and cidLength, or bypass");
  }
  if (!Number.isSafeInteger(nextPacketNumber) || nextPacketNumber < 0) {
    throw invalid(`nextPacketNumber ${String(nextPacketNumber)}, not 0 to 2^53-1`);
  }
  if (!(Number.isInteger(cidLength) && cidLength >= 0 && cidLength <= MAX_CID_BYTES)) {
    throw invalid(`cidLength ${String(cidLength)}, not 0 to ${MAX_CID_BYTES}`);
  }
  return { nextPn: nextPacketNumber, cidLength };
}

/** One message in the making: its peer and segment size are those of its first part. */
export class Cork {
  readonly dest = new Int32Array(ADDR_COLS);
  private message: Message | null = null;

  get isPending(): boolean {
    return this.message !== null;
  }

  /** @throws OffloadError `EMSGSIZE` when the whole would not fit into a UDP payload. */
  add(part: Message, dest: Int32Array): void {
    const { message } = this;
    if (message === null) this.dest.set(dest);
    const bytes = (message?.bytes ?? 0) + part.bytes;
    const { gsoSize, maxPayloadBytes } = message ?? part;
    if (bytes > maxPayloadBytes) {
      throw new OffloadError("EMSGSIZE", "sendmsg", `${bytes} bytes, a UDP payload has ${maxPayloadBytes}`);
    }
    const pieces = [...(message?.pieces ?? []), ...part.pieces.map((piece) => piece.slice())];
    this.message = { pieces, bytes, gsoSize, maxPayloadBytes };
  }

  /** The message so far, which is no longer pending. */
  take(): Message {
    const { message } = this;
    this.message = null;
    return message ?? unreachable("no message is pending");
  }

  discard(): void {
    this.message = null;
  }
}

function invalid(message: string): OffloadError {
  return new OffloadError("EINVAL", "sendmsg", message);
}
