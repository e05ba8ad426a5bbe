/** The public entry point `netquic/net`: sockets and servers as of node:net, each socket a stream of a QUIC connection. */

import { type ConnectArguments, normalizeConnect } from "./connect-arguments.js";
import type { ServerOptions } from "./options.js";
import { QuicServer } from "./server.js";
import { QuicSocket } from "./socket.js";

export { QuicError } from "../errors.js";
export type { NetError } from "./errors.js";
export type { ConnectOptions, QuicOptions, ServerOptions, SessionOptions } from "./options.js";
export { NetSession, openSession } from "./session.js";
export { QuicServer, QuicSocket };

/**
 * A socket on its way to a server: `(options, onConnect)` or `(port, host, onConnect)`. What fails on the way is its event
 * `error`. @throws for options of a wrong type or value (docs/errors.md)
 */
export function connect(...args: ConnectArguments): QuicSocket {
  return new QuicSocket(normalizeConnect(args).options).connect(...args);
}

/** As `connect`. */
export const createConnection = connect;

/** A server that `listen` starts; `onConnection` is called with each socket. @throws for wrong options, and without a key. */
export function createServer(options: ServerOptions, onConnection?: (socket: QuicSocket) => void): QuicServer {
  return new QuicServer(options, onConnection);
}
