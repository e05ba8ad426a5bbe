/** Events of a socket (QUIC_EVENT_*): which ones it wants, and their bytes: the type, then the struct. */

import {
  DETAIL_KEY_PHASE,
  DETAIL_LOCAL_IDS,
  DETAIL_PEER_IDS,
  DETAIL_RESET_ACKED,
  DETAIL_SIZE_KNOWN,
  DETAIL_STREAM_CREDIT,
  DETAIL_STREAM_LIMIT,
} from "../port/transport.js";
import { EINVAL } from "./errno.js";
import {
  QUIC_EVENT_CONNECTION_ID,
  QUIC_EVENT_KEY_UPDATE,
  QUIC_EVENT_MAX,
  QUIC_EVENT_NONE,
  QUIC_EVENT_STREAM_MAX_DATA,
  QUIC_EVENT_STREAM_MAX_STREAM,
  QUIC_EVENT_STREAM_UPDATE,
} from "./numbers.js";

/** What the transport has to tell for an event. */
const DETAILS_OF: Readonly<Record<number, number>> = {
  [QUIC_EVENT_STREAM_UPDATE]: DETAIL_SIZE_KNOWN | DETAIL_RESET_ACKED,
  [QUIC_EVENT_STREAM_MAX_DATA]: DETAIL_STREAM_CREDIT,
  [QUIC_EVENT_STREAM_MAX_STREAM]: DETAIL_STREAM_LIMIT,
  [QUIC_EVENT_CONNECTION_ID]: DETAIL_LOCAL_IDS | DETAIL_PEER_IDS,
  [QUIC_EVENT_KEY_UPDATE]: DETAIL_KEY_PHASE,
};

export class EventMask {
  /** 1 << type. */
  private bits = 0;

  /** 0, or -EINVAL for a type that is none. All are off at first. */
  set(type: number, on: boolean): number {
    if (!isEvent(type)) return -EINVAL;
    if (on) this.bits |= 1 << type;
    else this.bits &= ~(1 << type);
    return 0;
  }

  /** 0 or 1, or -EINVAL. */
  get(type: number): number {
    return isEvent(type) ? Number(this.has(type)) : -EINVAL;
  }

  has(type: number): boolean {
    return (this.bits & (1 << type)) !== 0;
  }

  /** DETAIL_* bits of port/transport that these events need. */
  get details(): number {
    let details = 0;
    for (const [type, bits] of Object.entries(DETAILS_OF)) if (this.has(Number(type))) details |= bits;
    return details;
  }

  inherit(from: EventMask): void {
    this.bits = from.bits;
  }
}

function isEvent(type: number): boolean {
  return Number.isInteger(type) && type > QUIC_EVENT_NONE && type < QUIC_EVENT_MAX;
}

/** The bytes of an event of this type. */
export function eventBytes(type: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + payload.length);
  bytes[0] = type;
  bytes.set(payload, 1);
  return bytes;
}
