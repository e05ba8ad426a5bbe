/**
 * Joins a TCP connection and a QUIC stream: bytes both ways under back-pressure, a FIN for a FIN, so that each direction ends
 * by itself, and a reset for everything else. Who resets the TCP connection makes RESET_STREAM and STOP_SENDING of it
 * with TUNNEL_RESET; either of these, or the end of the QUIC connection, makes a TCP reset.
 */

import type { Socket } from "node:net";
import type { QuicStream } from "../quic/index.js";
import { POOLED_CHUNKS, READ_BYTES } from "./limits.js";
import { TUNNEL_RESET, tunnelError } from "./protocol.js";
import { resetSocket } from "./reset.js";
import type { Traffic } from "./traffic.js";
import type { Uplink } from "./uplink.js";

/** `socket` is connected, keeps its halves apart (`allowHalfOpen`), and nothing was read of either. */
export function splice(
  socket: Socket,
  stream: QuicStream,
  uplink: Uplink,
  usesOnread: boolean,
  traffic: Traffic,
): void {
  let broken = false;
  const breakBoth = (error: unknown): void => {
    if (broken) return;
    broken = true;
    traffic.reset++;
    stream.destroy(error);
    resetSocket(socket);
  };
  socket.on("error", (error) => breakBoth(tunnelError(TUNNEL_RESET, `the TCP connection broke: ${error.message}`)));
  socket.once("close", () => {
    if (!socket.readableEnded) breakBoth(tunnelError(TUNNEL_RESET, "the TCP connection was closed"));
  });
  stream.onreset = breakBoth;
  stream.onstopsending = breakBoth;
  stream.closed.catch(breakBoth);
  uplink.attach(socket, stream, usesOnread);
  pour(stream, socket).catch(breakBoth);
}

/** Memory for what is on its way from streams to sockets: a new one for each piece would keep the collector busy. */
const pool: Uint8Array[] = [];

/** Everything that comes, then the FIN. */
async function pour(stream: QuicStream, socket: Socket): Promise<void> {
  for (;;) {
    // a stream that waits holds no memory of the pool
    const first = await stream.ext.read({ maxBytes: READ_BYTES });
    if (first === null) break;
    if (!(await written(socket, first))) return;
    while (stream.ext.readableBytes > 0) {
      const into = pool.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES);
      const chunk = await stream.ext.read({ into });
      const goesOn = chunk === null || (await written(socket, chunk));
      if (pool.length < POOLED_CHUNKS) pool.push(into);
      if (!goesOn) return;
    }
  }
  socket.end();
}

/** Resolves when the kernel has it: false when the socket is gone. */
function written(socket: Socket, chunk: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => socket.write(chunk, (error) => resolve(error === null || error === undefined)));
}
