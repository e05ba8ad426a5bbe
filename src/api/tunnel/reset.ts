/**
 * A TCP reset, at once. `socket.resetAndDestroy()` of Node ends the socket in order first: it waits for a reader that may
 * never read, and where something destroys the socket meanwhile, libuv refuses to reset it (a shutdown is under way), the
 * handle stays, and the process can never exit. So this sets what that method sets, and destroys.
 */

import type { Socket } from "node:net";

/** A field of node:net that its typings leave out: `destroy` closes the socket with a reset. */
type Resettable = Socket & { resetAndClosing: boolean };

/** Where everything was written and is only on its way out, the FIN included, the program on the other side gets all of it. */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.writableEnded && !socket.writableFinished) {
    socket.pause();
    socket.once("finish", () => socket.destroy());
    return;
  }
  if (!socket.connecting) (socket as Resettable).resetAndClosing = true;
  socket.destroy();
}
