/**
 * A handshake as steps, which whoever has the socket takes: bytes to send at a level, bytes to receive, options to set.
 * What libquic calls quic_handshake_step. The TLS library is asked here and knows nothing of sockets.
 *
 * Invariant: steps come in the order in which TLS said them, but for the key that reads 1-RTT packets: it is the last of
 * all, because with it the socket is ESTABLISHED (RFC 9001 §5.7 has no use for it before).
 */

import { latin1Bytes } from "../base/bytes.js";
import { LEVEL_APP, type TlsInfo, type TlsResult, type TlsSession } from "../port/tls.js";
import { CRYPTO_ERROR } from "../proto/transport-error.js";
import {
  MSG_MORE,
  QUIC_CRYPTO_INITIAL,
  QUIC_SOCKOPT_ALPN,
  QUIC_SOCKOPT_CONNECTION_CLOSE,
  QUIC_SOCKOPT_CRYPTO_SECRET,
} from "./numbers.js";
import { connectionClose, cryptoSecret } from "./structs.js";
import { cipherOfAead, cryptoOfLevel, levelOfCrypto } from "./tls-numbers.js";

export const QUIC_HANDSHAKE_OP_SENDMSG = 1;
export const QUIC_HANDSHAKE_OP_RECVMSG = 2;
export const QUIC_HANDSHAKE_OP_SETSOCKOPT = 3;

export type HandshakeStep =
  | {
      op: typeof QUIC_HANDSHAKE_OP_SENDMSG;
      /** QUIC_CRYPTO_*. */
      level: number;
      /** MSG_MORE on all messages of a flight but the last. */
      flags: number;
      data: Uint8Array;
    }
  | {
      op: typeof QUIC_HANDSHAKE_OP_RECVMSG;
      /** To be filled in, both. */
      level: number;
      data: Uint8Array | null;
    }
  | {
      op: typeof QUIC_HANDSHAKE_OP_SETSOCKOPT;
      /** QUIC_SOCKOPT_*. */
      name: number;
      value: Uint8Array;
    };

type Send = Extract<HandshakeStep, { op: typeof QUIC_HANDSHAKE_OP_SENDMSG }>;

export class HandshakeSteps {
  /** What TLS says at the end. */
  info: TlsInfo | null = null;
  /** Why it failed; the last step then tells the peer when the socket is closed. */
  alert: Extract<TlsResult, { kind: "alert" }> | null = null;
  /** Client: sessions to resume with, as they came. */
  readonly tickets: Uint8Array[] = [];
  readonly keylog: string[] = [];
  private readonly queue: HandshakeStep[] = [];
  private lastSend: Send | null = null;
  private lastKey: HandshakeStep | null = null;

  constructor(private readonly session: TlsSession) {}

  /** The next step; null = the handshake is over, `info` or `alert` say how. */
  next(): HandshakeStep | null {
    this.collect();
    const step = this.queue.shift();
    if (step !== undefined) {
      if (step === this.lastSend) this.lastSend = null;
      return step;
    }
    if (this.info !== null || this.alert !== null) return null;
    return { op: QUIC_HANDSHAKE_OP_RECVMSG, level: QUIC_CRYPTO_INITIAL, data: null };
  }

  /** The peer's TLS said this, in order, at QUIC_CRYPTO_* `level`. False for a level that is none. */
  receive(level: number, bytes: Uint8Array): boolean {
    const known = levelOfCrypto(level);
    if (known < 0) return false;
    this.session.put(known as Exclude<typeof known, -1>, bytes);
    this.collect();
    return true;
  }

  private collect(): void {
    for (let result = this.session.take(); result !== null; result = this.session.take()) this.onResult(result);
  }

  private onResult(result: TlsResult): void {
    switch (result.kind) {
      case "send":
        this.onSend(cryptoOfLevel(result.level), result.bytes);
        return;
      case "secret":
        this.onSecret(result);
        return;
      case "peer-params":
        return; // the socket has read the same bytes before TLS saw them
      case "done":
        this.info = result.info;
        this.setOption(QUIC_SOCKOPT_ALPN, latin1Bytes(result.info.alpn));
        if (this.lastKey !== null) this.queue.push(this.lastKey);
        return;
      case "ticket":
        this.tickets.push(result.bytes);
        return;
      case "keylog":
        this.keylog.push(result.line);
        return;
      case "alert": {
        this.alert = result;
        const phrase = latin1Bytes(result.message.slice(0, MAX_PHRASE_CHARS));
        this.setOption(
          QUIC_SOCKOPT_CONNECTION_CLOSE,
          connectionClose.encode({ errcode: CRYPTO_ERROR + result.alert, phrase }),
        );
      }
    }
  }

  private onSend(level: number, data: Uint8Array): void {
    if (this.lastSend !== null) this.lastSend.flags |= MSG_MORE;
    this.lastSend = { op: QUIC_HANDSHAKE_OP_SENDMSG, level, flags: 0, data };
    this.queue.push(this.lastSend);
  }

  private onSecret({ level, direction, aead, secret }: Extract<TlsResult, { kind: "secret" }>): void {
    const value = cryptoSecret.encode({
      send: Number(direction === "write"),
      level: cryptoOfLevel(level),
      type: cipherOfAead(aead).type,
      secret,
    });
    const isLast = level === LEVEL_APP && direction === "read";
    if (isLast) this.lastKey = { op: QUIC_HANDSHAKE_OP_SETSOCKOPT, name: QUIC_SOCKOPT_CRYPTO_SECRET, value };
    else this.setOption(QUIC_SOCKOPT_CRYPTO_SECRET, value);
  }

  private setOption(name: number, value: Uint8Array): void {
    this.queue.push({ op: QUIC_HANDSHAKE_OP_SETSOCKOPT, name, value });
  }
}

/** Of CONNECTION_CLOSE. */
const MAX_PHRASE_CHARS = 63;
