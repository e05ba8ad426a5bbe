/**
 * Joins a TCP connection and a QUIC stream: bytes both ways under back-pressure, a FIN for a FIN, so that each direction ends
 * by itself, and a reset for everything else. Who resets the TCP connection makes RESET_STREAM and STOP_SENDING of it
 * with TUNNEL_RESET; either of these, or the end of the QUIC connection, makes a TCP reset.
 */

import type { Socket } from "node:net";
import type { QuicStream } from "../quic/index.js";
import { TUNNEL_RESET, tunnelError } from "./protocol.js";
import { resetSocket } from "./reset.js";
import type { Traffic } from "./traffic.js";

/** What is read ahead of the other side, bytes each way: more than one read of a socket (64 KiB). */
const AHEAD_BYTES = 256 * 1024;

/** `socket` is connected, keeps its halves apart (`allowHalfOpen`), and nothing was read of either. */
export function splice(socket: Socket, stream: QuicStream, traffic: Traffic): void {
  const duplex = stream.ext.toDuplex({ highWaterMark: AHEAD_BYTES });
  let broken = false;
  const breakBoth = (error: Error): void => {
    if (broken) return;
    broken = true;
    traffic.reset++;
    duplex.destroy(error);
    resetSocket(socket);
  };
  socket.on("error", (error) => breakBoth(tunnelError(TUNNEL_RESET, `the TCP connection broke: ${error.message}`)));
  socket.once("close", () => {
    if (!socket.readableEnded) breakBoth(tunnelError(TUNNEL_RESET, "the TCP connection was closed"));
  });
  duplex.on("error", breakBoth);
  // a reader or writer that waits for the TCP side would not notice
  stream.onreset = (error) => breakBoth(error as Error);
  stream.onstopsending = (error) => {
    if (!duplex.writableFinished) breakBoth(error as Error);
  };
  socket.pipe(duplex);
  duplex.pipe(socket);
}
