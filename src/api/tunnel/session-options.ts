/** Options of the QUIC connections of a tunnel, of both sides: no 0-RTT, whose bytes could be a replay. */

import {
  MAX_TUNNEL_DATAGRAMS_OUT,
  MAX_TUNNEL_STREAMS,
  TUNNEL_HANDSHAKE_MILLIS,
  TUNNEL_IDLE_SECONDS,
  TUNNEL_SEND_BUFFER_BYTES,
} from "./limits.js";

const MAX_DATAGRAM_FRAME_BYTES = 65_535;

/** `dials`: streams of the peer are taken, and dialled for. */
export function tunnelOptions(dials: boolean) {
  return {
    enableEarlyData: false,
    handshakeTimeout: TUNNEL_HANDSHAKE_MILLIS,
    maxPendingDatagrams: MAX_TUNNEL_DATAGRAMS_OUT,
    transportParams: {
      maxIdleTimeout: TUNNEL_IDLE_SECONDS,
      initialMaxStreamsBidi: dials ? MAX_TUNNEL_STREAMS : 0,
      initialMaxStreamsUni: 0,
      maxDatagramFrameSize: MAX_DATAGRAM_FRAME_BYTES,
    },
    ext: { sendBufferBytes: TUNNEL_SEND_BUFFER_BYTES },
  };
}
