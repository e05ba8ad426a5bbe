/** Two sockets on two connections in memory: what the functional cases of the Linux QUIC tests need. */

import assert from "node:assert/strict";
import { ConnectionDetails } from "#src/conn/details.js";
import { errnoName } from "#src/socket/errno.js";
import type { InMessage, OutMessage } from "#src/socket/message.js";
import { MSG_QUIC_NOTIFICATION } from "#src/socket/numbers.js";
import { recvmsg } from "#src/socket/recvmsg.js";
import { sendmsg } from "#src/socket/sendmsg.js";
import { QuicSock } from "#src/socket/sock.js";
import { getsockopt, setsockopt, type SockOps } from "#src/socket/sockopt.js";
import { Pair, type PairOptions } from "../support/pair.js";

/** What options of these tests ask of the world: nothing. */
export const NO_OPS: SockOps = {
  peerParams: () => null,
  open: () => 77,
  applySettings: () => {},
  restoreParams: () => 0,
  sendToken: () => 0,
  migrate: () => 0,
  ticketKey: () => new Uint8Array(64).fill(7),
};

/** What a socket announces, with datagrams. */
const LINUX = { maxDatagramFrameBytes: 1400, activeConnectionIdLimit: 7, issuedConnectionIds: 8 };

export class SocketPair {
  readonly pair: Pair;
  readonly client = new QuicSock();
  readonly server = new QuicSock();

  constructor(options: PairOptions = {}) {
    this.pair = new Pair({
      ...options,
      client: { ...LINUX, ...options.client },
      server: { ...LINUX, ...options.server },
    });
    this.pair.clientHandler = this.client;
    this.pair.serverHandler = this.server;
    this.server.isServer = true;
    this.client.attach(this.pair.clientConn, new ConnectionDetails(this.pair.clientConn));
    this.pair.settle();
    const { serverConn } = this.pair;
    assert.ok(serverConn !== null);
    this.server.attach(serverConn, new ConnectionDetails(serverConn));
    this.pair.advance(1_000_000);
  }

  /** Until nobody has anything to say. */
  settle(): void {
    this.pair.advance(200_000);
    this.pair.advance(200_000); // what the last events made
  }
}

export function text(data: string): Uint8Array {
  return Uint8Array.from(data, (char) => char.charCodeAt(0));
}

/** Sends and gives the count, or the name of the error. */
export function send(sock: QuicSock, data: string | Uint8Array, id: number, flags: number): number | string {
  const bytes = typeof data === "string" ? text(data) : data;
  return named(sendmsg(sock, { data: bytes, flags: 0, stream: { stream_id: id, stream_flags: flags } }));
}

export function sendPlain(sock: QuicSock, message: Partial<OutMessage>): number | string {
  return named(sendmsg(sock, { data: new Uint8Array(0), flags: 0, ...message }));
}

export function named(result: number): number | string {
  return result < 0 ? errnoName(-result) : result;
}

/** The next message, which must be there. */
export function receive(sock: QuicSock, maxBytes = 65_536, flags = 0): InMessage {
  const message = recvmsg(sock, maxBytes, flags);
  assert.ok(typeof message === "object", `no message: ${named(message as number)}`);
  return message;
}

/** Everything that can be read now: texts of messages with stream id and FIN, events as lists of bytes. */
export function receiveAll(sock: QuicSock): string[] {
  const all: string[] = [];
  for (let message = recvmsg(sock, 65_536, 0); typeof message === "object"; message = recvmsg(sock, 65_536, 0)) {
    const { data, flags, stream } = message;
    if ((flags & MSG_QUIC_NOTIFICATION) !== 0) all.push(`event ${data.join(" ")}`);
    else if (stream === undefined) all.push(`datagram ${String.fromCharCode(...data)}`);
    else all.push(`${stream.stream_id}${stream.stream_flags === 0 ? "" : " fin"}: ${String.fromCharCode(...data)}`);
  }
  return all;
}

export function setOption(sock: QuicSock, name: number, value: Uint8Array): number | string {
  return named(setsockopt(sock, name, value, NO_OPS));
}

export function getOption(sock: QuicSock, name: number, value: Uint8Array = new Uint8Array(0)): Uint8Array | string {
  const result = getsockopt(sock, name, value, NO_OPS);
  return typeof result === "number" ? errnoName(-result) : result;
}
