/**
 * Two TLS sessions that talk to each other in memory, for tests of port/tls: bytes are carried by level, results are
 * logged by side. A session is asked for results as its owner does: after its birth, after `put`, after `onResults`.
 */

import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Level, TlsInfo, TlsResult, TlsSession } from "../../port/tls.js";

/** A provider that answers later has this long, in milliseconds, before the test gives up. */
const PATIENCE_MILLIS = 5_000;

type Of<K extends TlsResult["kind"]> = Extract<TlsResult, { kind: K }>;

/** One session and all that it said. */
export class Side {
  readonly results: TlsResult[] = [];
  peer: Side | null = null;
  /** Bytes for the peer that were not carried yet, by arrival. */
  readonly outbox: { level: Level; bytes: Uint8Array }[] = [];
  /** How often the session said that results came later. */
  wakes = 0;
  private mayHaveResults = true;
  private isInside = false;

  constructor(readonly session: TlsSession) {
    session.onResults = () => {
      assert.equal(this.isInside, false, "onResults is never called from inside put or take");
      this.wakes++;
      this.mayHaveResults = true;
    };
  }

  put(level: Level, bytes: Uint8Array): void {
    this.isInside = true;
    this.session.put(level, bytes);
    this.isInside = false;
    this.mayHaveResults = true;
  }

  of<K extends TlsResult["kind"]>(kind: K): Of<K>[] {
    return this.results.filter((result): result is Of<K> => result.kind === kind);
  }

  get info(): TlsInfo | undefined {
    return this.of("done")[0]?.info;
  }

  get alert(): Of<"alert"> | undefined {
    return this.of("alert")[0];
  }

  /** Takes what is there; true when there was something. */
  drain(): boolean {
    if (!this.mayHaveResults) return false;
    this.mayHaveResults = false;
    let took = false;
    this.isInside = true;
    for (let result = this.session.take(); result !== null; result = this.session.take()) {
      took = true;
      assert.equal(this.alert, undefined, "nothing follows an alert");
      this.results.push(result);
      if (result.kind === "send") this.outbox.push({ level: result.level, bytes: result.bytes });
    }
    this.isInside = false;
    return took;
  }
}

export class Pair {
  readonly client: Side;
  readonly server: Side;
  /** Bytes of CRYPTO data given to `put` at a time; Infinity = as they came. */
  chunkBytes = Number.POSITIVE_INFINITY;
  /** A man in the middle: may change what a side sent. */
  tamper: ((from: Side, level: Level, bytes: Uint8Array) => void) | null = null;

  constructor(client: TlsSession, server: TlsSession) {
    this.client = new Side(client);
    this.server = new Side(server);
    this.client.peer = this.server;
    this.server.peer = this.client;
  }

  /** Carries bytes until `condition` holds; fails when it does not come to hold. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MILLIS;
    while (true) {
      const moved = this.step();
      if (condition()) return;
      if (moved) continue;
      assert.ok(Date.now() < deadline, `${what}: nothing moves any more\n${this.describe()}`);
      await nextTurn();
    }
  }

  /** Carries bytes for a number of event-loop turns, for what must not happen. */
  async turns(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.step();
      await nextTurn();
    }
  }

  /** Runs until both sides are done and the client has `tickets` tickets. */
  async handshake(tickets = 0): Promise<{ client: TlsInfo; server: TlsInfo }> {
    const failed = () => this.client.alert !== undefined || this.server.alert !== undefined;
    const done = () => this.client.info !== undefined && this.server.info !== undefined;
    await this.until(() => failed() || (done() && this.client.of("ticket").length >= tickets), "handshake");
    const { info: client } = this.client;
    const { info: server } = this.server;
    assert.ok(client !== undefined && server !== undefined && !failed(), this.describe());
    return { client, server };
  }

  /** Runs until the named side raises an alert and returns it. */
  async failure(side: "client" | "server"): Promise<Of<"alert">> {
    await this.until(() => this[side].alert !== undefined, `alert at the ${side}`);
    const { alert } = this[side];
    assert.ok(alert !== undefined);
    return alert;
  }

  close(): void {
    this.client.session.close();
    this.server.session.close();
  }

  describe(): string {
    const side = (name: string, from: Side) =>
      `${name}: ${from.results.map((r) => (r.kind === "alert" ? `alert ${r.alert} ${r.message}` : r.kind)).join(", ")}`;
    return `${side("client", this.client)}\n${side("server", this.server)}`;
  }

  private step(): boolean {
    let moved = false;
    for (const side of [this.client, this.server]) {
      if (side.drain()) moved = true;
      for (const { level, bytes } of side.outbox.splice(0)) this.carry(side, level, bytes);
    }
    return moved;
  }

  private carry(from: Side, level: Level, bytes: Uint8Array): void {
    this.tamper?.(from, level, bytes);
    const to = from.peer;
    const chunk = Math.min(this.chunkBytes, bytes.length);
    for (let start = 0; start < bytes.length; start += chunk) to?.put(level, bytes.slice(start, start + chunk));
  }
}
