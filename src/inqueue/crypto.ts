/** CRYPTO data of one level, put in order for TLS (RFC 9000 §7.5): a peer can make us hold so many bytes and pieces. */

import { type Level, LEVEL_HANDSHAKE, LEVEL_INITIAL } from "../port/tls.js";
import {
  MAX_CRYPTO_APP_BYTES,
  MAX_CRYPTO_HANDSHAKE_BYTES,
  MAX_CRYPTO_INITIAL_BYTES,
  MAX_CRYPTO_PIECES,
} from "../proto/limits.js";
import { CRYPTO_BUFFER_EXCEEDED } from "../proto/transport-error.js";
import type { HeldBytes } from "../stream/held.js";
import { RecvBuffer } from "../stream/recv-buffer.js";

export class CryptoIn {
  /** End of the data that has arrived, gaps included. */
  highest = 0;
  private readonly buffer: RecvBuffer;
  private readonly limitBytes: number;

  constructor(level: Level, held: HeldBytes) {
    this.buffer = new RecvBuffer(held);
    if (level === LEVEL_INITIAL) this.limitBytes = MAX_CRYPTO_INITIAL_BYTES;
    else this.limitBytes = level === LEVEL_HANDSHAKE ? MAX_CRYPTO_HANDSHAKE_BYTES : MAX_CRYPTO_APP_BYTES;
  }

  /** 0, or CRYPTO_BUFFER_EXCEEDED. */
  push(offset: number, buf: Uint8Array, start: number, end: number): number {
    const dataEnd = offset + (end - start);
    if (dataEnd - this.buffer.readOffset > this.limitBytes) return CRYPTO_BUFFER_EXCEEDED;
    this.buffer.receive(offset, buf, start, end);
    if (dataEnd > this.highest) this.highest = dataEnd;
    return this.buffer.rangeCount > MAX_CRYPTO_PIECES ? CRYPTO_BUFFER_EXCEEDED : 0;
  }

  /** What is in order and was not taken yet: a copy for TLS to keep. Null when there is nothing. */
  take(): Uint8Array | null {
    const length = this.buffer.readable;
    if (length === 0) return null;
    const bytes = new Uint8Array(length);
    this.buffer.read(bytes, 0, length);
    return bytes;
  }

  discard(): void {
    this.buffer.discard();
  }
}
