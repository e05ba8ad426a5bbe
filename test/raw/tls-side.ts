/**
 * What both sides of the raw TLS 1.3 have in common: whole messages out of CRYPTO data, messages sent through the script's
 * hands, the secrets of a handshake, and the proof of who one is.
 */

import { sign } from "node:crypto";
import type { RawCertificate } from "./certificate.js";
import {
  CERTIFICATE,
  CERTIFICATE_VERIFY,
  ECDSA_P256_SHA256,
  HANDSHAKE,
  message,
  MessageBuffer,
  NEW_SESSION_TICKET,
  type Schedule,
  type TlsSink,
  u16,
  vec,
  verifyContent,
} from "./tls-messages.js";

/** Changes a message before it is sent and hashed; null leaves it out. */
export type Edit = (type: number, bytes: Buffer) => Buffer | null;

export abstract class RawTlsSide {
  resumed = false;
  earlyAccepted = false;
  done = false;
  /** Types of the messages that arrived. */
  readonly seen: number[] = [];
  protected clientSecret: Buffer = Buffer.alloc(0);
  protected serverSecret: Buffer = Buffer.alloc(0);
  protected resumption: Buffer = Buffer.alloc(0);
  private readonly buffers = [0, 1, 2, 3].map(() => new MessageBuffer());

  constructor(
    protected schedule: Schedule,
    protected readonly sink: TlsSink,
    private readonly edit: Edit | undefined,
  ) {}

  /** CRYPTO data of the other side, in order. */
  receive(level: number, bytes: Uint8Array): void {
    for (const whole of (this.buffers[level] as MessageBuffer).put(bytes)) {
      const type = whole[0] as number;
      this.seen.push(type);
      this.onMessage(type, whole);
    }
  }

  protected abstract onMessage(type: number, whole: Buffer): void;

  /** Returns the message as it was sent; null: it was left out. */
  protected emit(level: number, type: number, bytes: Buffer): Buffer | null {
    const edited = this.edit === undefined ? bytes : this.edit(type, bytes);
    if (edited === null) return null;
    if (type !== NEW_SESSION_TICKET) this.schedule.add(edited);
    this.sink.send(level, edited);
    return edited;
  }

  /** Certificate and CertificateVerify; an empty chain needs no proof. */
  protected emitCertificate(role: "client" | "server", chain: readonly RawCertificate[], context: Buffer): void {
    const entries = chain.map(({ der }) => Buffer.concat([vec(3, der), u16(0)]));
    this.emit(HANDSHAKE, CERTIFICATE, message(CERTIFICATE, vec(1, context), vec(3, ...entries)));
    const [leaf] = chain;
    if (leaf === undefined) return;
    const signature = sign("sha256", verifyContent(role, this.schedule.hash()), leaf.key);
    this.emit(HANDSHAKE, CERTIFICATE_VERIFY, message(CERTIFICATE_VERIFY, u16(ECDSA_P256_SHA256), vec(2, signature)));
  }
}
