/**
 * A TLS provider whose results come late: each one is held back for a random number of event-loop turns, in order, and
 * `onResults` says when some are there. It shows what of the engine leans on answers that come at once.
 */

import type { Level, TlsContext, TlsProvider, TlsResult, TlsSession, TlsSessionOptions } from "#src/port/tls.js";

const MAX_TURNS = 4;

/** `random` gives numbers in [0, 1). */
export function delayedTls(provider: TlsProvider, random: () => number): TlsProvider {
  const context = (inner: TlsContext): TlsContext => ({
    isServer: inner.isServer,
    newSession: (options: TlsSessionOptions) => new DelayedSession(inner.newSession(options), random),
    close: () => inner.close(),
  });
  return {
    name: `delayed-${provider.name}`,
    get version() {
      return provider.version; // known later where TLS is elsewhere
    },
    newClientContext: (config) => context(provider.newClientContext(config)),
    newServerContext: (config) => context(provider.newServerContext(config)),
  };
}

class DelayedSession implements TlsSession {
  onResults: (() => void) | null = null;
  /** Made by TLS, not yet to be seen; `turns` until it is. */
  private readonly held: { result: TlsResult; turns: number }[] = [];
  private readonly ready: TlsResult[] = [];
  private timer: NodeJS.Immediate | null = null;
  private closed = false;

  constructor(
    private readonly inner: TlsSession,
    private readonly random: () => number,
  ) {
    inner.onResults = () => this.hold();
    this.hold();
  }

  put(level: Level, bytes: Uint8Array): void {
    if (this.closed) return;
    this.inner.put(level, bytes);
    this.hold();
  }

  allowEarlyData(alpn: string): void {
    if (!this.closed) this.inner.allowEarlyData(alpn);
  }

  take(): TlsResult | null {
    return this.closed ? null : (this.ready.shift() ?? null);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    if (this.timer !== null) clearImmediate(this.timer);
    this.inner.close();
  }

  private hold(): void {
    for (let result = this.inner.take(); result !== null; result = this.inner.take()) {
      this.held.push({ result, turns: Math.floor(this.random() * (MAX_TURNS + 1)) });
    }
    if (this.held.length > 0) this.timer ??= setImmediate(() => this.turn());
  }

  private turn(): void {
    this.timer = null;
    const before = this.ready.length;
    for (let first = this.held[0]; first !== undefined; first = this.held[0]) {
      if (first.turns > 0) {
        first.turns--;
        break;
      }
      this.ready.push(first.result);
      this.held.shift();
    }
    if (this.held.length > 0) this.timer = setImmediate(() => this.turn());
    if (this.ready.length > before) this.onResults?.();
  }
}
