/**
 * How fast the path delivers, estimated from what each packet saw when it was sent (draft-ietf-ccwg-bbr §4.1). For
 * controllers that model the path; the others pay nothing for it. The columns run parallel to the ring of sent packets,
 * and its slots are theirs. A sample is collected between `begin` and `end`, over the packets that one ACK is about.
 */

const NO_NUMBERS = new Float64Array(0);

/** What the newest packet of one ACK tells; one object, overwritten by each. */
export class RateSample {
  /** Bytes delivered a microsecond; 0: the sample is not valid. */
  bytesPerMicro = 0;
  /** Delivered between the sending of the packet and its acknowledgement, bytes. */
  deliveredBytes = 0;
  /** Delivered by this ACK alone, bytes. */
  ackedBytes = 0;
  /** Declared lost with this ACK, bytes. */
  lostBytes = 0;
  /** Lost since the packet was sent, bytes. */
  lostSinceBytes = 0;
  /** Delivered in all when the packet was sent: the start of its round; -1: no packet. */
  priorBytes = -1;
  /** In flight when the packet was sent, it included. */
  inFlightBytes = 0;
  appLimited = false;
  /** -1: no RTT sample. */
  rttMicros = -1;
}

export class DeliveryRate {
  readonly sample = new RateSample();
  /** Delivered in all, bytes. */
  deliveredBytes = 0;
  /** Lost in all, bytes. */
  lostBytes = 0;
  /** Until so much is delivered, samples show what the application gave, not what the path takes; 0: they do not. */
  private appLimitedUntilBytes = 0;
  private deliveredMicros = 0;
  private firstSentMicros = 0;
  private newestSentMicros = -1;
  private nowMicros = 0;
  private sendElapsedMicros = 0;
  private ackElapsedMicros = 0;

  // Columns by slot, of when the packet was sent.
  private deliveredAt = NO_NUMBERS;
  private deliveredMicrosAt = NO_NUMBERS;
  private firstSentAt = NO_NUMBERS;
  private inFlightAt = NO_NUMBERS;
  private lostAt = NO_NUMBERS;
  /** 1 = yes. */
  private appLimitedAt = new Uint8Array(0);

  /** The ring of sent packets has `slots` now, a power of two, and holds numbers from `from` up to `to`. */
  resize(slots: number, from: number, to: number): void {
    const oldMask = this.deliveredAt.length - 1;
    const move = <T extends Float64Array | Uint8Array>(old: T, fresh: T): T => {
      for (let pn = from; pn < to && oldMask >= 0; pn++) fresh[pn & (slots - 1)] = old[pn & oldMask] as number;
      return fresh;
    };
    this.deliveredAt = move(this.deliveredAt, new Float64Array(slots));
    this.deliveredMicrosAt = move(this.deliveredMicrosAt, new Float64Array(slots));
    this.firstSentAt = move(this.firstSentAt, new Float64Array(slots));
    this.inFlightAt = move(this.inFlightAt, new Float64Array(slots));
    this.lostAt = move(this.lostAt, new Float64Array(slots));
    this.appLimitedAt = move(this.appLimitedAt, new Uint8Array(slots));
  }

  /** A packet left; `inFlightBytes` includes its `sizeBytes`. */
  onSent(slot: number, sizeBytes: number, inFlightBytes: number, nowMicros: number): void {
    if (inFlightBytes === sizeBytes) this.firstSentMicros = this.deliveredMicros = nowMicros;
    this.deliveredAt[slot] = this.deliveredBytes;
    this.deliveredMicrosAt[slot] = this.deliveredMicros;
    this.firstSentAt[slot] = this.firstSentMicros;
    this.inFlightAt[slot] = inFlightBytes;
    this.lostAt[slot] = this.lostBytes;
    this.appLimitedAt[slot] = this.appLimitedUntilBytes > 0 ? 1 : 0;
  }

  /** As `onSent` for `packets` of `packetBytes` each, with numbers from `firstPn` on; `inFlightBytes` includes them all. */
  onRunSent(firstPn: number, packets: number, packetBytes: number, inFlightBytes: number, nowMicros: number): void {
    const mask = this.deliveredAt.length - 1;
    let inFlight = inFlightBytes - packets * packetBytes;
    for (let pn = firstPn; pn < firstPn + packets; pn++) {
      inFlight += packetBytes;
      this.onSent(pn & mask, packetBytes, inFlight, nowMicros);
    }
  }

  /** The application has nothing more to send although the window has room. */
  onAppLimited(inFlightBytes: number): void {
    this.appLimitedUntilBytes = Math.max(1, this.deliveredBytes + inFlightBytes);
  }

  get isAppLimited(): boolean {
    return this.appLimitedUntilBytes > 0;
  }

  begin(nowMicros: number): void {
    const { sample } = this;
    this.nowMicros = nowMicros;
    sample.bytesPerMicro = sample.deliveredBytes = sample.ackedBytes = sample.lostBytes = sample.lostSinceBytes = 0;
    sample.inFlightBytes = 0;
    sample.priorBytes = -1;
    sample.appLimited = false;
    sample.rttMicros = -1;
    this.newestSentMicros = -1;
  }

  /** The packet in `slot` was acknowledged for the first time, lost before or not. */
  onAcked(slot: number, sizeBytes: number, sentMicros: number): void {
    const { sample, nowMicros } = this;
    this.deliveredBytes += sizeBytes;
    this.deliveredMicros = nowMicros;
    sample.ackedBytes += sizeBytes;
    const prior = this.deliveredAt[slot] as number;
    const isNewer = sentMicros > this.newestSentMicros;
    if (!isNewer && (sentMicros < this.newestSentMicros || prior <= sample.priorBytes)) return;
    this.newestSentMicros = sentMicros;
    sample.priorBytes = prior;
    this.read(slot);
    this.sendElapsedMicros = sentMicros - (this.firstSentAt[slot] as number);
    this.ackElapsedMicros = nowMicros - (this.deliveredMicrosAt[slot] as number);
  }

  /** The packet in `slot` was declared lost. */
  onLost(slot: number, sizeBytes: number): void {
    this.lostBytes += sizeBytes;
    this.sample.lostBytes += sizeBytes;
    // without a delivery, the packet lost last is the one whose flight is looked at
    if (this.newestSentMicros < 0) this.read(slot);
  }

  /** Completes the sample. One over less than the path's least RTT says nothing about its rate. */
  end(minRttMicros: number): RateSample {
    const { sample } = this;
    if (this.appLimitedUntilBytes > 0 && this.deliveredBytes > this.appLimitedUntilBytes) this.appLimitedUntilBytes = 0;
    if (sample.priorBytes < 0) return sample;
    this.firstSentMicros = this.newestSentMicros;
    sample.deliveredBytes = this.deliveredBytes - sample.priorBytes;
    const elapsedMicros = Math.max(this.sendElapsedMicros, this.ackElapsedMicros);
    if (elapsedMicros > 0 && elapsedMicros >= minRttMicros)
      sample.bytesPerMicro = sample.deliveredBytes / elapsedMicros;
    return sample;
  }

  private read(slot: number): void {
    const { sample } = this;
    sample.inFlightBytes = this.inFlightAt[slot] as number;
    sample.lostSinceBytes = this.lostBytes - (this.lostAt[slot] as number);
    sample.appLimited = this.appLimitedAt[slot] === 1;
  }
}
