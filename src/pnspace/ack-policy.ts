/**
 * When the next ACK frame of one packet number space is due (RFC 9000 §13.2.1, §13.2.2): at once for Initial and
 * Handshake, for reordering and for CE marks; else after `thresholdPackets` ack-eliciting packets or the delay that we
 * promised in max_ack_delay. The peer may change both (draft-ietf-quic-ack-frequency §6).
 *
 * Invariant: only ack-eliciting packets make an ACK due, so two endpoints never acknowledge each other's ACKs for ever.
 */

export class AckPolicy {
  /** Something arrived since the last ACK frame, so an ACK in a packet that is sent anyway has news (RFC 9000 §13.2). */
  hasNew = false;
  /** When an ACK frame must be sent, microseconds; `Infinity` = no ack-eliciting packet waits for one. */
  deadlineMicros = Infinity;
  /** Acknowledge each ack-eliciting packet at once: Initial and Handshake. */
  readonly immediate: boolean;
  /** What we announced as max_ack_delay, or what the peer asked for since. */
  maxAckDelayMicros: number;
  /** Ack-eliciting packets after which an ACK is due at once, 1 or more. */
  thresholdPackets: number;
  private elicitingPackets = 0;

  constructor(immediate: boolean, maxAckDelayMicros: number, thresholdPackets: number) {
    this.immediate = immediate;
    this.maxAckDelayMicros = maxAckDelayMicros;
    this.thresholdPackets = thresholdPackets;
  }

  configure(maxAckDelayMicros: number, thresholdPackets: number): void {
    this.maxAckDelayMicros = maxAckDelayMicros;
    this.thresholdPackets = thresholdPackets;
  }

  /** A packet arrived and was processed. `urgent`: reordered, after a gap, or marked CE (RFC 9000 §13.2.1). */
  onPacket(ackEliciting: boolean, urgent: boolean, nowMicros: number): void {
    this.hasNew = true;
    if (!ackEliciting) return;
    this.elicitingPackets++;
    const atOnce = this.immediate || urgent || this.elicitingPackets >= this.thresholdPackets;
    const dueMicros = atOnce ? nowMicros : nowMicros + this.maxAckDelayMicros;
    if (dueMicros < this.deadlineMicros) this.deadlineMicros = dueMicros;
  }

  /** `packets` ack-eliciting packets arrived together, none of them urgent: as so many calls of `onPacket`. */
  onPackets(packets: number, nowMicros: number): void {
    this.hasNew = true;
    this.elicitingPackets += packets;
    const atOnce = this.immediate || this.elicitingPackets >= this.thresholdPackets;
    const dueMicros = atOnce ? nowMicros : nowMicros + this.maxAckDelayMicros;
    if (dueMicros < this.deadlineMicros) this.deadlineMicros = dueMicros;
  }

  /** The peer wants an ACK frame at once (draft-ietf-quic-ack-frequency §5); the packet that says so is being read. */
  onImmediateAck(nowMicros: number): void {
    if (nowMicros < this.deadlineMicros) this.deadlineMicros = nowMicros;
  }

  isDue(nowMicros: number): boolean {
    return nowMicros >= this.deadlineMicros;
  }

  /** Ack-eliciting packets wait for an ACK, due or not: any packet that is sent should carry one. */
  get isWaiting(): boolean {
    return this.elicitingPackets > 0;
  }

  /** An ACK frame with all that is known went into a packet. */
  onAckSent(): void {
    this.hasNew = false;
    this.elicitingPackets = 0;
    this.deadlineMicros = Infinity;
  }
}
