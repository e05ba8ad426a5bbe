/** The counters of a UDP socket, all zero. */

import type { UdpStats } from "../port/udp.js";

export function newUdpStats(): UdpStats {
  return {
    datagramsReceived: 0,
    bytesReceived: 0,
    datagramsSent: 0,
    bytesSent: 0,
    sendErrors: 0,
    sendBlocked: 0,
    receiveOverflows: 0,
  };
}
