/** What a descriptor from STREAM_PEELOFF stands for: one stream of a socket, and the calls that wait for it. */

import type { PeeledStream } from "../../socket/peeled.js";
import type { SocketFile } from "./socket-file.js";
import { Waiters } from "./waiting.js";

export class StreamFile extends Waiters {
  /** SO_RCVTIMEO and SO_SNDTIMEO, milliseconds; 0 = for ever. */
  receiveTimeoutMillis: number;
  sendTimeoutMillis: number;

  /** It keeps the connection of `parent`, whose own descriptor may be closed before it. */
  constructor(
    readonly parent: SocketFile,
    readonly stream: PeeledStream,
  ) {
    super();
    this.receiveTimeoutMillis = parent.receiveTimeoutMillis;
    this.sendTimeoutMillis = parent.sendTimeoutMillis;
    stream.onWake = () => this.wake();
  }
}
