/** A datagram into the tunnel, where it fits. Larger ones are counted and gone, as on any path with a smaller MTU. */

import type { QuicSession } from "../quic/index.js";
import { encodeFlow, flowHeadBytes } from "./protocol.js";
import type { Traffic } from "./traffic.js";

export function sendFlow(session: QuicSession, flow: number, payload: Uint8Array, traffic: Traffic): void {
  const fitBytes = session.maxDatagramSize - flowHeadBytes(flow);
  if (payload.length > fitBytes) {
    traffic.datagramsTooLarge++;
    traffic.tooLargeBytes = payload.length;
    traffic.fitBytes = Math.max(0, fitBytes);
    return;
  }
  try {
    session.ext.sendDatagram(encodeFlow(flow, payload));
    traffic.datagramsIn++;
  } catch {
    traffic.datagramsDropped++; // the connection is closing
  }
}
