/** The socket calls that wait, as those of Linux do without O_NONBLOCK. SO_RCVTIMEO and SO_SNDTIMEO bound them. */

import * as calls from "./calls.js";
import { anyFileOf, fileOf } from "./descriptors.js";
import { EAGAIN } from "../../socket/errno.js";
import {
  MSG_DONTWAIT,
  MSG_QUIC_STREAM_DONTWAIT,
  MSG_QUIC_STREAM_NEW,
  POLLERR,
  POLLHUP,
  QUIC_SOCKOPT_CONNECTION_MIGRATION,
  SOL_QUIC,
} from "../../socket/numbers.js";
import type { InMessage, OutMessage } from "../../socket/message.js";
import { STREAM_FLAGS } from "../../socket/sendmsg.js";
import { NO_STREAM } from "../../socket/stream-ids.js";
import { streamInfo } from "../../socket/structs.js";
import { SocketFile } from "./socket-file.js";
import { socketError, wouldBlock } from "./system-error.js";
import { waitFor, type WaitOptions } from "./waiting.js";

export { bind, connect, listen } from "./calls.js";
export type { WaitOptions };

/** The next connection, before its handshake. Rejects with EAGAIN past SO_RCVTIMEO. */
export function accept(sd: number, options: WaitOptions = {}): Promise<number> {
  const file = fileOf(sd, "accept");
  return waitFor(file, "accept", file.receiveTimeoutMillis, options, () => calls.accept(sd));
}

/** The next message, of `maxBytes` at most. Rejects with EAGAIN past SO_RCVTIMEO, ENOTCONN, or the signal's reason. */
export function recvmsg(sd: number, maxBytes: number, flags = 0, options: WaitOptions = {}): Promise<InMessage> {
  const file = anyFileOf(sd, "recvmsg");
  const attempt = (): InMessage => calls.recvmsg(sd, maxBytes, flags);
  return waitFor(file, "recvmsg", file.receiveTimeoutMillis, options, attempt, unless(flags));
}

/** As `recvmsg` without control messages; empty at a stream's end. Rejects with EINVAL for handshake messages, too. */
export function recv(sd: number, maxBytes: number, flags = 0, options: WaitOptions = {}): Promise<Uint8Array> {
  const file = anyFileOf(sd, "recv");
  const attempt = (): Uint8Array => calls.recv(sd, maxBytes, flags);
  return waitFor(file, "recv", file.receiveTimeoutMillis, options, attempt, unless(flags));
}

/**
 * All bytes, in as many parts as it takes. What ended it before is thrown; `bytesSent` of that error says how many were
 * taken. With MSG_DONTWAIT one part, of what is taken at once; with MSG_QUIC_STREAM_DONTWAIT it does not wait for the peer to
 * allow another stream.
 */
export async function sendmsg(sd: number, message: OutMessage, options: WaitOptions = {}): Promise<number> {
  const file = anyFileOf(sd, "sendmsg");
  let sent = 0;
  let rest = message;
  const ids = file instanceof SocketFile ? file.sock.attached?.ids : undefined;
  const attempt = (): number => {
    const activeBefore = ids?.activeId;
    try {
      const taken = calls.sendmsg(sd, rest);
      const isWhole = taken === rest.data.length;
      rest = { ...rest, data: rest.data.subarray(taken) };
      // another message may open a stream before the rest of this one goes on
      if (ids !== undefined && !isWhole) rest = onStream(rest, ids.activeId);
      return taken;
    } catch (error) {
      // a call that could not send has opened its stream all the same, and the next one must not open another
      if (ids !== undefined && ids.activeId !== activeBefore) rest = onStream(rest, ids.activeId);
      throw error;
    }
  };
  const isWorthWaiting = (error: unknown): boolean => unless(message.flags)(error) && !isDenied(rest);
  for (;;) {
    let taken: number;
    try {
      taken = await waitFor(file, "sendmsg", file.sendTimeoutMillis, options, attempt, isWorthWaiting);
    } catch (error) {
      throw Object.assign(error as Error, { bytesSent: sent });
    }
    sent += taken;
    if (sent === message.data.length || (message.flags & MSG_DONTWAIT) !== 0) return sent;
  }
}

/** As the one that does not wait; STREAM_OPEN waits for the peer to allow another stream, SO_SNDTIMEO at most. */
export function getsockopt(
  sd: number,
  level: number,
  name: number,
  value: Uint8Array = new Uint8Array(0),
  options: WaitOptions = {},
): Promise<Uint8Array> {
  const file = anyFileOf(sd, "getsockopt");
  const attempt = (): Uint8Array => calls.getsockopt(sd, level, name, value);
  const isWorthWaiting = (error: unknown): boolean =>
    wouldBlock(error) && (streamInfo.decode(value).stream_flags & MSG_QUIC_STREAM_DONTWAIT) === 0;
  return waitFor(file, "getsockopt", file.sendTimeoutMillis, options, attempt, isWorthWaiting);
}

/** POLL* bits of now, once one of `events` is there, or POLLERR or POLLHUP; 0 past `timeoutMillis` (0 = for ever). */
export async function poll(sd: number, events: number, timeoutMillis = 0, options: WaitOptions = {}): Promise<number> {
  const attempt = (): number => {
    const bits = calls.poll(sd) & (events | POLLERR | POLLHUP);
    if (bits === 0) throw socketError("poll", -EAGAIN);
    return bits;
  };
  try {
    return await waitFor(anyFileOf(sd, "poll"), "poll", timeoutMillis, options, attempt);
  } catch (error) {
    if (wouldBlock(error) && options.signal?.aborted !== true) return 0; // the time is over
    throw error;
  }
}

/** As `sendmsg` without control messages. */
export function send(sd: number, data: Uint8Array, flags = 0, options: WaitOptions = {}): Promise<number> {
  return sendmsg(sd, { data, flags }, options);
}

/**
 * As `setsockopt`; CONNECTION_MIGRATION waits until the port is there. Rejects with its errors, and then with the system's
 * (EADDRINUSE, EADDRNOTAVAIL, EACCES) too.
 */
export async function setsockopt(
  sd: number,
  level: number,
  name: number,
  value: Uint8Array | string | number,
): Promise<void> {
  calls.setsockopt(sd, level, name, value);
  const isMove = level === SOL_QUIC && name === QUIC_SOCKOPT_CONNECTION_MIGRATION;
  const error = isMove ? await fileOf(sd, "setsockopt").opening : null;
  if (error !== null) throw error;
}

/** Whether to wait at all: not with MSG_DONTWAIT. */
function unless(flags: number): (error: unknown) => boolean {
  return (error) => wouldBlock(error) && (flags & MSG_DONTWAIT) === 0;
}

/** Its stream is not open: the peer allows no more, and the message does not want to wait for that. */
function isDenied({ stream, flags: callFlags }: OutMessage): boolean {
  const flags = stream?.stream_flags ?? callFlags;
  return (flags & MSG_QUIC_STREAM_DONTWAIT) !== 0 && (flags & MSG_QUIC_STREAM_NEW) !== 0;
}

/** The same message on the stream that it names, or else on `active`, which is open by now. */
function onStream(message: OutMessage, active: number): OutMessage {
  const { stream_id, stream_flags } = message.stream ?? { stream_id: NO_STREAM, stream_flags: message.flags };
  const stream = {
    stream_id: stream_id === NO_STREAM ? active : stream_id,
    stream_flags: stream_flags & STREAM_FLAGS & ~MSG_QUIC_STREAM_NEW,
  };
  return { ...message, flags: message.flags & ~STREAM_FLAGS, stream };
}
