/** Streams of a socket as descriptors of their own, and these as Duplex streams of Node. */

import { Duplex, type DuplexOptions } from "node:stream";
import { callbackify } from "node:util";
import { MSG_NOSIGNAL, QUIC_SOCKOPT_STREAM_PEELOFF, SHUT_WR, SOL_QUIC } from "../../socket/numbers.js";
import { streamPeeloff } from "../../socket/structs.js";
import { EINVAL } from "../../socket/errno.js";
import { close, getsockopt, shutdown } from "./calls.js";
import { streamOf } from "./descriptors.js";
import * as promises from "./promises.js";
import { socketError } from "./system-error.js";

/**
 * A descriptor for the open stream `streamId` of `sd`: `send` and `recv` without control messages, `recv` empty at FIN,
 * `poll`, `shutdown` by half, `close`. The connection lasts until all its descriptors are closed. @throws SocketError EINVAL for
 * a stream that is not open or has a descriptor already
 */
export function peelOff(sd: number, streamId: number): number {
  const asked = streamPeeloff.encode({ stream_id: streamId });
  return streamPeeloff.decode(getsockopt(sd, SOL_QUIC, QUIC_SOCKOPT_STREAM_PEELOFF, asked)).sd;
}

/**
 * A descriptor of `peelOff` as a Duplex, which owns it from now on: its end is FIN, and destroying it closes the descriptor; with
 * an error, or while writes wait, what was not sent is dropped, and the peer sees a reset. @throws SocketError EINVAL for another descriptor
 */
export function duplexOf(sd: number): Duplex {
  const file = streamOf(sd);
  if (file === null) throw socketError("duplex", -EINVAL);
  const { stream } = file;
  const controller = new AbortController();
  const { signal } = controller;
  const sendAll = callbackify((chunk: Uint8Array) => promises.send(sd, chunk, MSG_NOSIGNAL, { signal }));
  const options: DuplexOptions & { readable: boolean; writable: boolean } = {
    readable: stream.receives,
    writable: stream.sends,
    read(size) {
      promises.recv(sd, size, 0, { signal }).then(
        (data) => this.push(data.length === 0 ? null : data),
        (error: unknown) => this.destroy(error as Error),
      );
    },
    write(chunk: Uint8Array, _encoding, done) {
      sendAll(chunk, done);
    },
    final(done) {
      shutdown(sd, SHUT_WR);
      done();
    },
    destroy(error, done) {
      controller.abort();
      if (error !== null || this.writableLength > 0) stream.reset(); // a stream that lost bytes has no clean end
      close(sd);
      done(error);
    },
  };
  return new Duplex(options);
}
