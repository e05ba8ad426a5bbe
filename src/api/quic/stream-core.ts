/**
 * One stream between the engine's events and the QuicStream that users hold: its two halves, how they end, and whom that is
 * told. The session keeps it by id until the engine has forgotten the stream, also when the user destroyed it before.
 */

import { DEFAULT_URGENCY } from "../../proto/limits.js";
import { streamAborted, streamReset, streamStopped, wireCode } from "../errors.js";
import { Deferred } from "../deferred.js";
import { faces } from "./faces.js";
import { RecvHalf } from "../recv-half.js";
import { SendHalf } from "../send-half.js";
import type { SessionCore } from "./session-core.js";
import type { QuicStream } from "./stream.js";
import { callUser, type StreamCallbacks, warnOfThrow } from "./types.js";

export class StreamCore {
  readonly face: QuicStream;
  readonly callbacks: StreamCallbacks = {};
  readonly closed = new Deferred<void>();
  /** Null: this side cannot write, cannot read. */
  readonly send: SendHalf | null;
  readonly recv: RecvHalf | null;
  destroyed = false;
  /** Who writes it; "" = nobody yet. */
  outbound: "" | "writer" | "body" | "duplex" = "";
  urgency = DEFAULT_URGENCY;
  incremental = false;
  /** When it was opened; what comes in 0-RTT later is asked for as long as the engine knows the stream. */
  private readonly openedEarly: boolean;
  readonly createdAtMicros: number;
  ackedAtMicros = 0;
  receivedAtMicros = 0;
  destroyedAtMicros = 0;
  /** What the peer did to it; `closed` rejects with it once the stream is done. */
  private peerError: unknown = null;

  constructor(
    readonly session: SessionCore,
    readonly id: number,
  ) {
    const isUni = (id & 2) !== 0;
    const isOurs = (id & 1) === (session.transport.isServer ? 1 : 0);
    this.send = isUni && !isOurs ? null : new SendHalf(session.transport, id);
    this.recv = isUni && isOurs ? null : new RecvHalf(session.transport, id);
    this.openedEarly = session.transport.isEarly(id);
    this.createdAtMicros = session.nowMicros();
    if (this.send !== null) this.send.onBlocked = () => this.call("onblocked", []);
    this.face = faces.stream(this);
  }

  /** Some of it came in 0-RTT. */
  get isEarly(): boolean {
    return this.openedEarly || this.session.transport.isEarly(this.id);
  }

  get isUni(): boolean {
    return (this.id & 2) !== 0;
  }

  // --- the user ------------------------------------------------------------------------------------------------------

  /** RESET_STREAM with `code`; what waits to be written fails with `error`. */
  resetStream(code: bigint, error: unknown = streamAborted(`the stream was reset with code ${code}`)): void {
    if (this.send === null || this.send.acked || this.session.destroyed) return;
    this.session.transport.reset(this.id, code);
    this.send.fail(error);
  }

  /** STOP_SENDING with `code`; unread data is dropped and reading fails with `error`. */
  stopSending(code: bigint, error: unknown = streamAborted(`reading was stopped with code ${code}`)): void {
    if (this.recv === null || this.recv.isOver || this.session.destroyed) return;
    this.session.transport.stopSending(this.id, code);
    this.recv.fail(error);
  }

  /**
   * Ends both halves now. `closed` rejects with `error` when there is one. What was written and ended is still delivered
   * when there is neither an error nor a code.
   */
  destroy(error?: unknown, code?: bigint): void {
    if (this.destroyed) return;
    const isClean = error === undefined && code === undefined;
    const reason = error ?? streamAborted("the stream was destroyed");
    const wire = code ?? (error === undefined ? 0n : wireCode(error));
    if (!isClean || this.send?.finTaken === false) this.resetStream(wire, reason);
    this.stopSending(wire, reason);
    this.finish(error);
  }

  setPriority(urgency: number, incremental: boolean): void {
    this.urgency = urgency;
    this.incremental = incremental;
    if (!this.destroyed) this.session.transport.setPriority(this.id, urgency, incremental);
  }

  // --- the engine ----------------------------------------------------------------------------------------------------

  onReadable(): void {
    this.receivedAtMicros = this.session.nowMicros();
    this.recv?.onReadable();
    if (this.session.closing) this.recv?.keepAside();
  }

  onWritable(): void {
    this.send?.onWritable();
  }

  onReset(code: bigint): void {
    if (this.destroyed) return;
    const error = streamReset(code);
    this.peerError ??= error;
    this.recv?.fail(error);
    this.call("onreset", [error]);
  }

  /** The engine has answered with RESET_STREAM. */
  onStopSending(code: bigint): void {
    if (this.destroyed) return;
    const error = streamStopped(code);
    // code 0 says that the peer had enough, which is no error unless something was still to be written
    if (code !== 0n || this.send?.isBlocked === true) this.peerError ??= error;
    this.send?.fail(error);
    this.call("onstopsending", [error]);
  }

  onSendDone(): void {
    if (this.send === null) return;
    this.send.acked = true;
    this.ackedAtMicros = this.session.nowMicros();
  }

  /** Both halves are done; the engine has forgotten the id. */
  onClosed(): void {
    // errors are made where one is needed: a stack trace costs more than the rest of a small stream
    if (this.recv?.isComplete === false && !this.recv.isOver)
      this.recv.fail(this.peerError ?? streamAborted("the stream is closed"));
    this.finish(this.peerError ?? undefined);
  }

  /** The connection ended, with this error or none. */
  onSessionEnd(error: unknown): void {
    if (this.destroyed) return;
    const reason = error ?? streamAborted("the session was closed before the stream ended");
    const isSent = this.send === null || this.send.acked || (this.send.finTaken && this.recv !== null);
    this.send?.fail(reason);
    this.recv?.detach(reason);
    const isRead = this.recv === null || this.recv.isComplete;
    this.finish(error === null && isSent && isRead ? undefined : reason);
  }

  /** Calls a user's function of this stream; what it throws destroys the stream. */
  call<K extends "onblocked" | "onreset" | "onstopsending">(
    name: K,
    args: K extends "onblocked" ? [] : [error: unknown],
  ): void {
    const callback = this.callbacks[name] as ((this: QuicStream, ...args: unknown[]) => unknown) | undefined;
    callUser(callback, this.face, args as unknown[], (error) => this.destroy(error));
  }

  /** Why its halves failed: what a reader or writer of it throws is no news. */
  isOwnError(error: unknown): boolean {
    return error === this.recv?.error || error === this.send?.error;
  }

  private finish(error: unknown): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.destroyedAtMicros = this.session.nowMicros();
    if (error === undefined) {
      this.closed.resolve();
      return;
    }
    callUser(this.callbacks.onerror, this.face, [error], (thrown) => warnOfThrow("onerror", thrown));
    this.closed.reject(error);
  }
}
