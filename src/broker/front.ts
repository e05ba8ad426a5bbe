/**
 * What the host does with the datagrams of one UDP port: those of a program go to it as they came, by the route in their
 * connection id or by the id that the client chose; from first flights it reads ALPN and SNI (endpoint/accept, which also
 * answers with Retry, Version Negotiation and 0x178) and hands all of the flight to who wants it.
 *
 * Invariant: it has no connection and no TLS key. Initial packets are open to anyone who sees them (RFC 9001 §5.2).
 */

import type { ClientHello } from "../crypto/hello.js";
import type { Chooser, Taker } from "../endpoint/accept.js";
import type { Attempt, HeldDatagram } from "../endpoint/attempt.js";
import { Endpoint } from "../endpoint/endpoint.js";
import { HEADER_FORM_BIT } from "../packet/header.js";
import type { AeadPort } from "../port/aead.js";
import { ADDR_COLS, RX_COLS, RX_LEN, RX_OFF, RX_SOURCE, type RxBatch, type TxBatch } from "../port/udp.js";
import { LOCAL_CID_BYTES, MAX_CID_BYTES, MAX_HALF_OPEN, RETRY_ABOVE_HALF_OPEN } from "../proto/limits.js";
import { CONNECTION_REFUSED } from "../proto/transport-error.js";
import { systemClock } from "../runtime/clock.js";
import { type Driven, NO_APPLICATION_PROTOCOL } from "../runtime/loop.js";
import { systemRandom } from "../runtime/random.js";
import type { Hello } from "../socket/dispatch.js";
import type { AttemptFacts } from "./datagrams.js";
import { HandedAttempts } from "./handed.js";
import type { Place } from "./messages.js";
import type { RouteIds } from "./route-ids.js";

/** A program, as far as datagrams for it go. */
export interface Recipient {
  readonly ids: RouteIds;
  readonly isOpen: boolean;
  /** Buffers a datagram of `front`'s port; `flush` sends. */
  deliver(front: Front, rx: RxBatch, row: number, nowMicros: number): void;
  handOver(front: Front, facts: AttemptFacts, addr: Int32Array, datagrams: readonly HeldDatagram[]): void;
}

export interface FrontOwner {
  /** The program of a route, null for none. */
  recipient(route: number): Recipient | null;
  /** Who wants a client, and whether only after a Retry; null: nobody. */
  choose(front: Front, hello: Hello, addr: Int32Array): { recipient: Recipient; retry: boolean } | null;
  /** Sends what `deliver` buffered. */
  flush(): void;
}

export interface FrontCounters {
  /** Datagrams handed on one by one, by route or by the client's id. */
  forwarded: number;
  /** First flights handed over. */
  handedOver: number;
  /** Datagrams with a short header that are of no program. */
  strays: number;
}

const LONG_DCID_LENGTH_AT = 5; // RFC 8999 §5.1
const LONG_DCID_AT = 6;

export class Front implements Driven<never> {
  readonly counters: FrontCounters = { forwarded: 0, handedOver: 0, strays: 0 };
  readonly endpoint: Endpoint;
  /** Where its datagrams arrive; null before it is bound. */
  place: Place | null = null;
  private readonly handed = new HandedAttempts<Recipient>();

  constructor(
    private readonly owner: FrontOwner,
    aead: AeadPort,
    /** Of Retry tokens; a restarted host has the same. */
    secret: Uint8Array,
  ) {
    this.endpoint = new Endpoint({
      aead,
      random: systemRandom,
      nowMicros: systemClock.nowMicros(),
      wallSeconds: () => systemClock.wallSeconds(),
      secret,
      statelessResets: false, // only the program knows its reset tokens
    });
    this.endpoint.listenBy(this.chooser());
  }

  // --- doors for the loop --------------------------------------------------------------------------------------------

  receive(rx: RxBatch, nowMicros: number): void {
    const { counters } = this;
    for (let row = 0; row < rx.count; row++) {
      const recipient = this.recipientOf(rx, row);
      if (recipient === null) this.pass(rx, row, nowMicros);
      else {
        counters.forwarded++;
        recipient.deliver(this, rx, row, nowMicros);
      }
    }
    this.handed.expire(nowMicros);
    this.owner.flush();
  }

  /** A datagram that a program got and that is not its own: the kernel picks one socket for a whole train. */
  redeliver(rx: RxBatch, row: number, nowMicros: number): void {
    const recipient = this.recipientOf(rx, row);
    if (recipient === null) this.pass(rx, row, nowMicros);
    else recipient.deliver(this, rx, row, nowMicros);
  }

  transmit(tx: TxBatch, nowMicros: number): boolean {
    return this.endpoint.transmit(tx, nowMicros);
  }

  timeout(nowMicros: number): void {
    this.endpoint.timeout(nowMicros);
  }

  nextDeadline(): number {
    return this.endpoint.nextDeadline();
  }

  accept(): null {
    return null;
  }

  takeEventful(): null {
    return null;
  }

  get onWork(): (() => void) | null {
    return this.endpoint.onWork;
  }
  set onWork(told: (() => void) | null) {
    this.endpoint.onWork = told;
  }

  destroy(): void {
    this.endpoint.destroy();
  }

  // --- inside ----------------------------------------------------------------------------------------------------------

  private recipientOf(rx: RxBatch, row: number): Recipient | null {
    const { buf, rows } = rx;
    const off = rows[row * RX_COLS + RX_OFF];
    const end = off + rows[row * RX_COLS + RX_LEN];
    if (off === end) return null;
    if ((buf[off] & HEADER_FORM_BIT) === 0) return this.byRoute(buf, off + 1, end);
    const length = buf[off + LONG_DCID_LENGTH_AT];
    const dcidAt = off + LONG_DCID_AT;
    if (dcidAt > end || length > MAX_CID_BYTES || dcidAt + length > end) return null;
    const byRoute = length === LOCAL_CID_BYTES ? this.byRoute(buf, dcidAt, end) : null;
    if (byRoute !== null) {
      this.handed.confirm(buf, dcidAt, dcidAt + length);
      return byRoute;
    }
    const source = rows[row * RX_COLS + RX_SOURCE] * ADDR_COLS;
    const found = this.handed.find(rx.sources, source, buf, dcidAt, dcidAt + length);
    return found?.isOpen === true ? found : null;
  }

  private byRoute(buf: Uint8Array, cidAt: number, end: number): Recipient | null {
    if (cidAt + LOCAL_CID_BYTES > end) return null;
    const recipient = this.owner.recipient(buf[cidAt]);
    return recipient?.ids.made(buf, cidAt) === true ? recipient : null;
  }

  /** Row `row` alone goes to the endpoint. A short header is of nobody, and the host answers none. */
  private pass(rx: RxBatch, row: number, nowMicros: number): void {
    const at = row * RX_COLS;
    if (rx.rows[at + RX_LEN] > 0 && (rx.buf[rx.rows[at + RX_OFF]] & HEADER_FORM_BIT) === 0) {
      this.counters.strays++;
      return;
    }
    const { buf, sources, sourceCount, socket } = rx;
    const rows = rx.rows.slice(at, at + RX_COLS);
    this.endpoint.receive({ buf, rows, sources, sourceCount, socket, count: 1, proof: null }, nowMicros);
  }

  private chooser(): Chooser {
    const { handed } = this;
    return {
      get retry() {
        return handed.silentCount >= RETRY_ABOVE_HALF_OPEN ? "always" : "auto";
      },
      earlyData: true,
      versions: [],
      choose: (hello, addr) => this.choose(hello, addr),
    };
  }

  private choose(hello: ClientHello | null, addr: Int32Array): Taker | number {
    if (this.handed.silentCount >= MAX_HALF_OPEN) return CONNECTION_REFUSED;
    const wanted = { alpn: hello?.alpn ?? [], serverName: hello?.serverName ?? "" };
    const chosen = this.owner.choose(this, wanted, addr);
    if (chosen === null) return NO_APPLICATION_PROTOCOL;
    const { recipient, retry } = chosen;
    return {
      options: { retry: retry ? "always" : "auto" },
      take: (attempt, last, early) => this.handOver(recipient, attempt, last, early),
    };
  }

  private handOver(to: Recipient, attempt: Attempt, last: HeldDatagram, early: readonly HeldDatagram[]): void {
    const { addr, dcid, proof, version } = attempt.origin;
    this.counters.handedOver++;
    const answerId = new Uint8Array(LOCAL_CID_BYTES);
    to.ids.make(answerId, systemRandom);
    this.handed.add(addr, dcid, to, proof.validated ? null : answerId, last.atMicros);
    to.handOver(this, { version, proof, dcid, answerId }, addr, [...attempt.held, last, ...early]);
  }
}
