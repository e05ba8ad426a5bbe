/**
 * One bidirectional stream of a link, with its two halves. It outlives the socket: what was written before the socket was
 * destroyed is still delivered, and the link waits for that.
 */

import { type QuicError, streamAborted, streamReset, streamStopped } from "../errors.js";
import { RecvHalf } from "../recv-half.js";
import { SendHalf } from "../send-half.js";
import { CODE_NONE } from "./errors.js";
import type { Hold } from "./hold.js";
import type { Link } from "./link.js";

/** The socket: told once each, and nothing after it let go. */
export interface ChannelUser {
  /** RESET_STREAM arrived. */
  onPeerReset(error: QuicError): void;
  /** STOP_SENDING arrived: what was not acknowledged is lost. */
  onPeerStop(error: QuicError): void;
  /** The connection ended; null: with code 0, in the middle of the stream. What had arrived may still be read. */
  onLinkEnd(error: unknown): void;
}

export class Channel {
  readonly send: SendHalf;
  readonly recv: RecvHalf;
  /** Null once the socket has let go, and for a stream of the peer that nobody took. */
  user: ChannelUser | null = null;
  /** Our RESET_STREAM is on its way; a connection that closed before it arrived would take its code along. */
  private awaitsReset = false;

  constructor(
    readonly link: Link,
    readonly id: number,
    /** Keeps the process alive. */
    readonly hold: Hold,
  ) {
    this.send = new SendHalf(link.transport, id);
    this.recv = new RecvHalf(link.transport, id);
  }

  /** Nobody waits for anything: neither a socket nor bytes on their way. */
  get isSettled(): boolean {
    return this.user === null && !this.awaitsReset && (this.send.acked || this.send.error !== null);
  }

  /** Makes the stream known to the peer, as a TCP connection is before its first byte. */
  announce(): void {
    if (this.send.bytesWritten === 0 && this.send.isOpen) this.link.details.announce(this.id);
  }

  /**
   * The socket lets go. With `code` null all that the stream has taken is still delivered, then comes its end; else what is
   * not ended is given up with that code.
   */
  letGo(code: bigint | null): void {
    this.user = null;
    this.recv.unwait();
    if (!this.link.ended) this.giveUp(code);
    if (this.send.acked || this.send.error !== null) this.hold.set(false);
    this.link.settle();
  }

  onResetAcked(): void {
    this.awaitsReset = false;
    this.afterSend();
  }

  onReset(code: bigint): void {
    const error = streamReset(code);
    this.recv.fail(error);
    this.user?.onPeerReset(error);
  }

  onStopSending(code: bigint): void {
    const error = streamStopped(code);
    this.send.fail(error);
    this.user?.onPeerStop(error);
    this.afterSend();
  }

  onSendDone(): void {
    this.send.acked = true;
    this.afterSend();
  }

  /** The engine has forgotten the stream. */
  onClosed(): void {
    if (!this.recv.isComplete) this.recv.fail(streamAborted("the stream is closed"));
    this.hold.set(false);
  }

  onLinkEnd(error: unknown): void {
    const reason = error ?? streamAborted("the connection was closed");
    const isSent = this.send.finTaken || this.send.error !== null;
    this.send.fail(reason);
    this.recv.detach(reason);
    // all had arrived: the reader gets to the end, and a writer, if there is one, meets the error
    if (!(this.recv.isComplete && (isSent || error === null))) this.user?.onLinkEnd(error);
    this.hold.set(false);
  }

  private giveUp(code: bigint | null): void {
    const { send, recv } = this;
    const { transport } = this.link;
    const reason = streamAborted("the socket was destroyed");
    if (code !== null && !send.finTaken) {
      this.awaitsReset = transport.reset(this.id, code);
      send.fail(reason);
    } else if (send.isOpen) send.end(null);
    if (recv.isOver) return;
    transport.stopSending(this.id, code ?? CODE_NONE);
    recv.fail(reason);
  }

  private afterSend(): void {
    if (!this.isSettled) return;
    this.hold.set(false);
    this.link.settle();
  }
}
