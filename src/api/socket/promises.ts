/** The socket calls that wait, as those of Linux do without O_NONBLOCK. SO_RCVTIMEO and SO_SNDTIMEO bound them. */

import * as calls from "./calls.js";
import { anyFileOf, fileOf } from "./descriptors.js";
import {
  MSG_DONTWAIT,
  MSG_QUIC_STREAM_NEW,
  QUIC_SOCKOPT_CONNECTION_MIGRATION,
  SOL_QUIC,
} from "../../socket/numbers.js";
import type { InMessage, OutMessage } from "../../socket/message.js";
import { waitFor, type WaitOptions } from "./waiting.js";

export { bind, connect, listen } from "./calls.js";
export type { WaitOptions };

/** The next connection, before its handshake. Rejects with EAGAIN past SO_RCVTIMEO. */
export function accept(sd: number, options: WaitOptions = {}): Promise<number> {
  const file = fileOf(sd, "accept");
  return waitFor(file, "accept", file.receiveTimeoutMillis, options, () => calls.accept(sd));
}

export function recvmsg(sd: number, maxBytes: number, flags = 0, options: WaitOptions = {}): Promise<InMessage> {
  const file = anyFileOf(sd, "recvmsg");
  return waitFor(file, "recvmsg", file.receiveTimeoutMillis, options, () => calls.recvmsg(sd, maxBytes, flags));
}

export function recv(sd: number, maxBytes: number, flags = 0, options: WaitOptions = {}): Promise<Uint8Array> {
  const file = anyFileOf(sd, "recv");
  return waitFor(file, "recv", file.receiveTimeoutMillis, options, () => calls.recv(sd, maxBytes, flags));
}

/**
 * All bytes, in as many parts as it takes. What ended it before is thrown; `bytesSent` of that error says how many were
 * taken. With MSG_DONTWAIT one part.
 */
export async function sendmsg(sd: number, message: OutMessage, options: WaitOptions = {}): Promise<number> {
  const file = anyFileOf(sd, "sendmsg");
  let sent = 0;
  let rest = message;
  for (;;) {
    const part = rest;
    let taken: number;
    try {
      taken = await waitFor(file, "sendmsg", file.sendTimeoutMillis, options, () => calls.sendmsg(sd, part));
    } catch (error) {
      throw Object.assign(error as Error, { bytesSent: sent });
    }
    sent += taken;
    if (sent === message.data.length || (message.flags & MSG_DONTWAIT) !== 0) return sent;
    rest = restOf(rest, taken);
  }
}

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

/** What is left of a message: its stream is open now. */
function restOf(message: OutMessage, taken: number): OutMessage {
  const { stream } = message;
  const data = message.data.subarray(taken);
  const flags = message.flags & ~MSG_QUIC_STREAM_NEW;
  if (stream === undefined) return { ...message, data, flags };
  return { ...message, data, flags, stream: { ...stream, stream_flags: stream.stream_flags & ~MSG_QUIC_STREAM_NEW } };
}
