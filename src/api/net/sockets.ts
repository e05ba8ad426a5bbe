/**
 * How sessions and servers make sockets. A socket imports its session; the other way goes through here, so that the modules
 * import each other one way only. `socket.ts` fills it in when it loads; `index.ts` imports that.
 */

import type { Channel } from "./channel.js";
import type { Link } from "./link.js";
import type { StreamOptions } from "./options.js";
import type { QuicSocket } from "./socket.js";

interface Sockets {
  /** Of a stream that is there. */
  of: (channel: Channel, options: StreamOptions) => QuicSocket;
  /** Of a stream that is still to be opened. */
  connectOn: (link: Link, onConnect?: () => void) => QuicSocket;
}

export const sockets = {} as Sockets;
