/**
 * Loss recovery and congestion control of one connection (RFC 9002): the owner of the parts, and the doors that the
 * connection uses. `ack.ts` settles acknowledged packets, `loss.ts` lost ones, `pto.ts` holds the timer. Deadlines are
 * computed when asked for, so sending a batch arms the timer once.
 */

import { DOUBLE } from "../base/double.js";
import type { CongestionController, CongestionName } from "../cong/controller.js";
import { DeliveryRate } from "../cong/delivery-rate.js";
import { makeController } from "../cong/make-controller.js";
import { Pacer } from "../cong/pacer.js";
import { Rtt } from "../cong/rtt.js";
import { WindowUse } from "../cong/window-use.js";
import type { AckFrame } from "../frame/ack.js";
import { ECN_CAPABLE, EcnValidator } from "../path/ecn-check.js";
import {
  INITIAL_RTT_MICROS,
  LOST_KEPT_PTOS,
  PACING_GAIN,
  PACING_GAIN_SLOW_START,
  RETRY_RTT_MIN_MICROS,
} from "../proto/limits.js";
import { perSpace, SPACE_APP, SPACE_HANDSHAKE, SPACE_INITIAL, type SpaceId } from "../proto/space.js";
import { AckSummary, markAcked, markLost } from "./ack.js";
import { BlackHole } from "./black-hole.js";
import { detectLost, LossState } from "./loss.js";
import { LossTimer, onTimer } from "./pto.js";
import {
  type FrameFates,
  NO_SENT_PACKETS,
  SENT_OUTSTANDING,
  SENT_SKIPPED,
  SENT_STATE_MASK,
  SentPackets,
} from "./sent.js";

export interface RecoveryOptions {
  readonly isServer: boolean;
  readonly congestion: CongestionName;
  /** Largest datagram that we send at first, bytes of UDP payload; see `setDatagramBytes`. */
  readonly datagramBytes: number;
  /** RTT assumed until the first sample. */
  readonly initialRttMicros?: number;
  /** Whether to mark packets ECT(0) and to test the path for it. Default false. */
  readonly ecn?: boolean;
}

export class Recovery {
  readonly rtt: Rtt;
  cc: CongestionController;
  pacer: Pacer;
  /** By space. */
  readonly sent: SentPackets[] = [
    new SentPackets(SPACE_INITIAL),
    new SentPackets(SPACE_HANDSHAKE),
    new SentPackets(SPACE_APP),
  ];
  readonly fates: FrameFates;
  readonly ecn: EcnValidator;

  maxBytesInFlight = 0;
  packetsLost = 0;
  bytesLost = 0;
  /** Packets declared lost and then acknowledged. */
  spuriousLosses = 0;
  congestionEvents = 0;
  persistentCongestions = 0;
  /** Congestion events all of whose losses arrived after all. */
  congestionUndone = 0;
  ptoCount = 0;
  ptoCountTotal = 0;

  /** The peer's transport parameters. */
  maxAckDelayMicros = 25_000;
  /** 0 to 20. */
  ackDelayExponent = 3;
  /** Handshake keys can be used: a client's anti-deadlock probe is then a Handshake packet. */
  hasHandshakeKeys = false;
  /**
   * The peer has validated our address (RFC 9002 §6.2.2.1). A client becomes certain of it by an acknowledgement of a
   * Handshake packet or by the confirmed handshake; both set it.
   */
  peerAddressValidated: boolean;

  // What the functions of ack.ts, loss.ts and pto.ts share.
  readonly loss = new LossState();
  readonly blackHole = new BlackHole();
  readonly probesLeft = perSpace(0);
  amplificationBlocked = false;
  /** When the timer was last given a reason to move; -1: nothing was sent yet. */
  lastEventMicros = DOUBLE;
  /** Where the recovery period before the current one began. */
  priorRecoveryMicros = DOUBLE;

  readonly options: RecoveryOptions;
  private datagramBytes: number;
  private readonly windowUse = new WindowUse();
  private readonly summary = new AckSummary();
  private readonly timer = new LossTimer();
  private timerStale = true;
  private confirmed = false;
  /** The datagram being built is marked ECT(0). */
  private marking = false;
  private firstSentMicros = DOUBLE;
  /** Packets sent before belong to another path. */
  private pathSinceMicros = DOUBLE;
  /** For a controller that asks for it. */
  private delivery: DeliveryRate | null = null;
  /** Packets that the current recovery period is about, and how many of them arrived after all. */
  private eventLost = 0;
  private eventLate = 0;

  constructor(options: RecoveryOptions, fates: FrameFates) {
    this.options = options;
    this.lastEventMicros = this.priorRecoveryMicros = this.firstSentMicros = this.pathSinceMicros = -1;
    this.fates = fates;
    this.datagramBytes = options.datagramBytes;
    this.rtt = new Rtt(options.initialRttMicros ?? INITIAL_RTT_MICROS);
    this.cc = makeController(options.congestion, options.datagramBytes);
    this.pacer = new Pacer(options.datagramBytes);
    this.ecn = new EcnValidator(options.ecn === true);
    this.peerAddressValidated = options.isServer;
    this.measureDelivery();
    this.setPacingRate(0);
  }

  get bytesInFlight(): number {
    const { sent } = this;
    return sent[SPACE_INITIAL].bytesInFlight + sent[SPACE_HANDSHAKE].bytesInFlight + sent[SPACE_APP].bytesInFlight;
  }

  /** Packets that the congestion window lets be in flight. */
  get windowPackets(): number {
    return this.cc.cwndBytes / this.datagramBytes;
  }

  /** Start of the current recovery period; -1: there was none. */
  get recoveryStartMicros(): number {
    return this.cc.recoveryStartMicros;
  }

  get handshakeConfirmed(): boolean {
    return this.confirmed;
  }

  set handshakeConfirmed(confirmed: boolean) {
    this.confirmed = confirmed;
    if (confirmed) this.peerAddressValidated = true;
    this.timerStale = true;
  }

  get inSlowStart(): boolean {
    return this.cc.cwndBytes < this.cc.ssthreshBytes;
  }

  /** Begins a datagram. Returns true when it is to be marked ECT(0): then all packets in it count as marked. */
  beginDatagram(): boolean {
    this.marking = this.ecn.beginDatagram();
    return this.marking;
  }

  /** Commits the packet that `sent[space]` has open. `sizeBytes` includes header and tag (RFC 9002 A.1.1). */
  onPacketSent(space: SpaceId, sizeBytes: number, ackEliciting: boolean, inFlight: boolean, nowMicros: number): void {
    const sent = this.sent[space];
    sent.commit(sizeBytes, ackEliciting, inFlight);
    if (this.marking) {
      sent.markLastEct();
      this.ecn.onMarkedSent(space);
    }
    if (this.firstSentMicros < 0) this.firstSentMicros = nowMicros;
    if (!inFlight) return;
    const { bytesInFlight } = this;
    if (bytesInFlight > this.maxBytesInFlight) this.maxBytesInFlight = bytesInFlight;
    if (bytesInFlight === sizeBytes) this.onRestart(nowMicros);
    this.windowUse.onPacketSent(bytesInFlight, this.cc.cwndBytes, this.datagramBytes, nowMicros);
    this.pacer.onSent(sizeBytes, nowMicros);
    this.lastEventMicros = nowMicros;
    this.timerStale = true;
  }

  /** Full datagrams of `bytes` that the ring of sent packets, the window and the pacer let go now. */
  datagramsAllowed(bytes: number, nowMicros: number): number {
    const inWindow = Math.floor((this.cc.cwndBytes - this.bytesInFlight) / bytes);
    const room = Math.min(this.sent[SPACE_APP].roomPackets, inWindow);
    // the pacer is asked only when nothing else holds the sender back, as in conn/transmit
    return room <= 0 ? 0 : Math.min(room, this.pacer.datagramsNow(nowMicros, bytes));
  }

  /** As `onPacketSent` for each of `packets` that `commitRun` took, of `bytes` each; marked where the path is capable. */
  onRunsSent(packets: number, bytes: number, nowMicros: number): void {
    if (this.ecn.state === ECN_CAPABLE) this.ecn.onMarkedSent(SPACE_APP, packets);
    if (this.firstSentMicros < 0) this.firstSentMicros = nowMicros;
    const { bytesInFlight } = this;
    if (bytesInFlight > this.maxBytesInFlight) this.maxBytesInFlight = bytesInFlight;
    if (bytesInFlight === packets * bytes) this.onRestart(nowMicros);
    // the last of them is the fullest moment, whether the flight is new or not
    this.windowUse.onPacketSent(bytesInFlight, this.cc.cwndBytes, this.datagramBytes, nowMicros);
    this.pacer.onSent(packets * bytes, nowMicros);
    this.lastEventMicros = nowMicros;
    this.timerStale = true;
  }

  /** PADDING was added to the packet sent last in `space`; it makes the packet count as in flight. */
  onPadded(space: SpaceId, bytes: number, nowMicros: number): void {
    this.sent[space].addBytes(bytes);
    this.pacer.onSent(bytes, nowMicros);
    if (this.bytesInFlight > this.maxBytesInFlight) this.maxBytesInFlight = this.bytesInFlight;
    this.timerStale = true;
  }

  /** OnAckReceived of RFC 9002 A.7. Returns 0, or PROTOCOL_VIOLATION for numbers never sent; then close. */
  onAck(space: SpaceId, ack: AckFrame, nowMicros: number): number {
    const { summary, cc } = this;
    const sent = this.sent[space];
    const largestBefore = sent.largestAcked;
    this.blackHole.onAck(sent, ack);
    this.delivery?.begin(nowMicros);
    const error = markAcked(sent, ack, this, summary, this.fates);
    if (error !== 0) return error;
    if (space === SPACE_HANDSHAKE && !this.peerAddressValidated) {
      this.peerAddressValidated = true;
      this.timerStale = true;
    }
    if (summary.late !== 0) this.onLate(space);
    if (summary.packets === 0) {
      if (summary.late !== 0) sent.reclaim(this.lostKeptFrom(nowMicros));
      return 0;
    }
    this.sampleRtt(space, ack, nowMicros);
    const { loss } = this;
    if (summary.largestSentMicros > loss.ackedSentMicros[space])
      loss.ackedSentMicros[space] = summary.largestSentMicros;
    this.windowUse.onPacketsAcked(summary.largestSentMicros);

    const reductions = this.congestionEvents + this.persistentCongestions;
    if (ack.largest > largestBefore) this.checkEcn(space, ack, nowMicros);
    detectLost(this, space, nowMicros);
    if (space === SPACE_APP) this.sampleDelivery(summary.ackEliciting && summary.largest === ack.largest, nowMicros);
    if (summary.growthBytes !== 0 && this.congestionEvents + this.persistentCongestions === reductions) {
      cc.onPacketsAcked(
        summary.growthBytes,
        this.windowUse.isLimited(cc.cwndBytes, this.inSlowStart),
        this.rtt,
        nowMicros,
      );
    }
    if (this.peerAddressValidated) this.ptoCount = 0;
    this.probesLeft[space] = 0;
    sent.reclaim(this.lostKeptFrom(nowMicros));
    this.setPacingRate(nowMicros);
    this.lastEventMicros = nowMicros;
    this.timerStale = true;
    return 0;
  }

  /** When `onTimeout` is to be called; Infinity: nothing is awaited. It may lie in the past. */
  deadline(): number {
    if (this.timerStale) {
      this.timer.arm(this);
      this.timerStale = false;
    }
    return this.timer.micros;
  }

  /** Declares packets lost or arms probes, if the deadline has come. */
  onTimeout(nowMicros: number): void {
    if (this.deadline() > nowMicros) return;
    this.delivery?.begin(nowMicros);
    onTimer(this, this.timer, nowMicros);
    this.sampleDelivery(false, nowMicros);
    this.lastEventMicros = nowMicros;
    this.timerStale = true;
  }

  /** Ack-eliciting packets to send in `space` regardless of the congestion window; PING when there is nothing else. */
  probes(space: SpaceId): number {
    return this.probesLeft[space];
  }

  onProbeSent(space: SpaceId): void {
    if (this.probesLeft[space] > 0) this.probesLeft[space]--;
  }

  /** Whether the congestion window has room for a packet of `bytes` (RFC 9002 §7). */
  canSend(bytes: number): boolean {
    return this.bytesInFlight + bytes <= this.cc.cwndBytes;
  }

  /** Microseconds until the pacer lets `bytes` go; 0: now. Ask only when there is something to send. */
  pacingDelay(nowMicros: number, bytes: number): number {
    const delay = this.pacer.delayMicros(nowMicros, bytes);
    if (delay > 0) this.windowUse.onPacingHeld();
    return delay;
  }

  /** The PTO of a space without backoff, microseconds (RFC 9002 §6.2.1). */
  ptoMicros(space: SpaceId): number {
    return this.rtt.ptoBaseMicros + (space === SPACE_APP ? this.maxAckDelayMicros : 0);
  }

  /** Datagrams have at most this size from now on. The congestion window stays what it is (RFC 8899 §3). */
  setDatagramBytes(bytes: number): void {
    this.datagramBytes = bytes;
    this.cc.setDatagramBytes(bytes);
    this.pacer.setDatagramBytes(bytes);
  }

  /** A server at its amplification limit arms no PTO (RFC 9002 §6.2.2.1). */
  setAmplificationBlocked(blocked: boolean): void {
    if (this.amplificationBlocked === blocked) return;
    this.amplificationBlocked = blocked;
    this.timerStale = true;
  }

  /** The keys of a space are gone (RFC 9002 §6.4). */
  discardSpace(space: SpaceId, nowMicros: number): void {
    this.forgetSpace(space);
    this.sent[space] = NO_SENT_PACKETS;
    this.ptoCount = 0;
    this.lastEventMicros = nowMicros;
    this.timerStale = true;
  }

  /**
   * A client got a Retry (RFC 9002 §6.3): what it sent is handed back to be sent again, under a fresh controller. An RTT
   * sample stays; without one, the time that the Retry took is the initial RTT, if only one packet can have caused it.
   */
  onRetry(nowMicros: number): void {
    for (const sent of this.sent) {
      for (let pn = sent.firstOutstanding; pn < sent.next; pn++) {
        const slot = pn & sent.mask;
        if ((sent.flags[slot] & SENT_STATE_MASK) === SENT_OUTSTANDING) markLost(sent, slot, this.fates);
      }
      this.forgetSpace(sent.space);
    }
    if (!this.rtt.hasSample && this.ptoCount === 0 && this.firstSentMicros >= 0) {
      const tookMicros = Math.max(nowMicros - this.firstSentMicros, RETRY_RTT_MIN_MICROS);
      this.rtt.reset(Math.min(tookMicros, this.rtt.smoothedRttMicros));
    }
    this.startController(nowMicros);
  }

  /** A client begins again in another version, which is another connection (RFC 9368 §2.4): as after a Retry, from 0 on. */
  restart(nowMicros: number): void {
    this.onRetry(nowMicros);
    for (const sent of this.sent) sent.restart();
  }

  private startController(nowMicros: number): void {
    this.ptoCount = 0;
    this.cc = makeController(this.options.congestion, this.datagramBytes);
    this.measureDelivery();
    this.pacer = new Pacer(this.datagramBytes);
    this.setPacingRate(nowMicros);
    this.lastEventMicros = nowMicros;
    this.timerStale = true;
  }

  /**
   * The peer has proven another IP address (RFC 9000 §9.4): the controller and the RTT start anew, and ECN is tested
   * again. What is on its way stays outstanding, but says nothing about the path and takes no room in its window.
   */
  onNewPath(nowMicros: number): void {
    for (const sent of this.sent) sent.leavePath(0);
    this.rtt.reset(this.options.initialRttMicros ?? INITIAL_RTT_MICROS);
    this.pathSinceMicros = nowMicros;
    this.ecn.restart();
    this.loss.runStartMicros.fill(Infinity);
    this.eventLost = Infinity;
    this.startController(nowMicros);
  }

  /** The peer has proven another port: congestion state and RTT stay (RFC 9000 §9.4), ECN is tested again (§13.4.2). */
  onNewPort(): void {
    this.ecn.restart();
  }

  /** A path was left for the one before: what was sent since `firstPn` says nothing about that one (RFC 9000 §9.3.2). */
  onReturn(firstPn: number): void {
    this.sent[SPACE_APP].leavePath(firstPn);
    this.timerStale = true;
  }

  /**
   * The server refused 0-RTT: none of those packets counts as sent (RFC 9002 §6.4), and an acknowledgement of one is a lie
   * (RFC 9001 §4.6.2). What they carried is handed back.
   */
  disownEarly(): void {
    const sent = this.sent[SPACE_APP];
    for (let pn = sent.base; pn < sent.next; pn++) {
      const slot = pn & sent.mask;
      if ((sent.flags[slot] & SENT_STATE_MASK) === SENT_OUTSTANDING) markLost(sent, slot, this.fates);
      sent.flags[slot] = SENT_SKIPPED;
    }
    sent.firstOutstanding = sent.next;
    this.loss.resetSpace(SPACE_APP);
    this.probesLeft[SPACE_APP] = 0;
    this.timerStale = true;
  }

  /** Loss detection found lost packets: OnPacketsLost of RFC 9002 B.8. */
  onLoss(packets: number, lastSentMicros: number, persistent: boolean, nowMicros: number): void {
    this.congest(packets, lastSentMicros, nowMicros);
    if (!persistent) return;
    this.persistentCongestions++;
    this.cc.onPersistentCongestion();
    this.rtt.onPersistentCongestion();
    this.loss.runStartMicros.fill(Infinity);
    this.eventLost = Infinity;
  }

  private congest(packets: number, lastSentMicros: number, nowMicros: number): void {
    const before = this.cc.recoveryStartMicros;
    if (this.cc.onCongestionEvent(lastSentMicros, nowMicros)) {
      this.congestionEvents++;
      this.priorRecoveryMicros = before;
      this.eventLost = 0;
      this.eventLate = 0;
    }
    this.eventLost += packets;
    this.setPacingRate(nowMicros);
  }

  private onLate(space: SpaceId): void {
    const { summary, loss } = this;
    this.spuriousLosses += summary.late;
    if (summary.lateSentMicros >= loss.runStartMicros[space]) loss.runStartMicros[space] = Infinity;
    if (summary.lateOfEvent === 0) return;
    this.eventLate += summary.lateOfEvent;
    if (this.eventLate !== this.eventLost) return;
    this.congestionUndone++;
    this.cc.onSpuriousCongestion();
  }

  private sampleRtt(space: SpaceId, ack: AckFrame, nowMicros: number): void {
    const { summary, rtt } = this;
    if (summary.largest !== ack.largest || !summary.ackEliciting) return;
    if (summary.largestSentMicros < this.pathSinceMicros) return; // a sample of another path
    // The peer does not delay the acknowledgement of Initial packets on purpose (RFC 9002 §5.3).
    let ackDelayMicros = space === SPACE_INITIAL ? 0 : ack.delay * (1 << this.ackDelayExponent);
    if (this.confirmed) ackDelayMicros = Math.min(ackDelayMicros, this.maxAckDelayMicros);
    rtt.update(nowMicros - summary.largestSentMicros, ackDelayMicros, nowMicros);
    this.cc.onRttSample(rtt, summary.largestSentMicros, nowMicros);
  }

  private checkEcn(space: SpaceId, ack: AckFrame, nowMicros: number): void {
    const { summary } = this;
    // A mark cannot be told from the losses of its recovery period, so the reduction is never taken back.
    if (this.ecn.onAck(space, ack, summary.marked)) this.congest(Infinity, summary.largestSentMicros, nowMicros);
  }

  /** Nothing more is there to be sent although the window has room: what follows says little about the path. */
  onAppLimited(): void {
    if (this.delivery !== null && this.canSend(this.datagramBytes)) this.delivery.onAppLimited(this.bytesInFlight);
  }

  private measureDelivery(): void {
    this.delivery = this.cc.onRateSample === undefined ? null : new DeliveryRate();
    const sent = this.sent[SPACE_APP];
    sent.delivery = this.delivery;
    // on another path the ring of sent packets is there already
    if (sent.mask >= 0) this.delivery?.resize(sent.mask + 1, sent.next, sent.next);
  }

  private onRestart(nowMicros: number): void {
    if (this.delivery !== null) this.cc.onRestart?.(this.delivery, nowMicros);
  }

  private sampleDelivery(hasRtt: boolean, nowMicros: number): void {
    const { delivery, rtt } = this;
    if (delivery === null) return;
    const sample = delivery.end(rtt.minRttMicros);
    if (hasRtt) sample.rttMicros = rtt.latestRttMicros;
    if (sample.ackedBytes > 0 || sample.lostBytes > 0)
      this.cc.onRateSample?.(delivery, this.bytesInFlight, rtt, nowMicros);
  }

  private setPacingRate(nowMicros: number): void {
    const { pacingBytesPerMicro } = this.cc;
    if (pacingBytesPerMicro !== undefined) {
      this.pacer.setBytesPerMicro(pacingBytesPerMicro, nowMicros);
      return;
    }
    const gain = this.inSlowStart ? PACING_GAIN_SLOW_START : PACING_GAIN;
    this.pacer.setRate(gain, this.cc.cwndBytes, this.rtt.smoothedRttMicros, nowMicros);
  }

  /** Send time before which lost packets are forgotten. */
  private lostKeptFrom(nowMicros: number): number {
    return nowMicros - LOST_KEPT_PTOS * (this.rtt.ptoBaseMicros + this.maxAckDelayMicros);
  }

  private forgetSpace(space: SpaceId): void {
    this.sent[space].clear();
    this.loss.resetSpace(space);
    this.probesLeft[space] = 0;
  }
}
