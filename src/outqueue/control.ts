/**
 * Control frames of the connection itself: HANDSHAKE_DONE, NEW_TOKEN, NEW_CONNECTION_ID, RETIRE_CONNECTION_ID,
 * PATH_RESPONSE, ACK_FREQUENCY and PING (stream and flow control frames are StreamOutput's). What is lost is sent again unless it has
 * become pointless (RFC 9000 §13.3); what can pile up is bounded by the rooms that own it.
 */

import type { LocalIds } from "../connid/local.js";
import type { PeerIds } from "../connid/peer.js";
import {
  writeHandshakeDone,
  writeImmediateAck,
  writeNewConnectionId,
  writeNewToken,
  writePathResponse,
  writePing,
  writeRetireConnectionId,
} from "../frame/control.js";
import type { PathResponses } from "../path/validation.js";
import { AckFrequency, type AckSender } from "./ack-frequency.js";
import {
  REC_ACK_FREQUENCY,
  REC_HANDSHAKE_DONE,
  REC_NEW_CONNECTION_ID,
  REC_NEW_TOKEN,
  REC_PING,
  REC_RETIRE_CONNECTION_ID,
  type SentPackets,
} from "./sent.js";

export class ControlOut {
  readonly ackFrequency: AckFrequency;
  private handshakeDone = false;
  private token: Uint8Array | null = null;
  private tokenWaits = false;
  private ping = false;
  private answered = false;

  constructor(
    private readonly localIds: LocalIds,
    private readonly peerIds: PeerIds,
    /** Of the connection's path. */
    public responses: PathResponses,
    ackSender: AckSender,
  ) {
    this.ackFrequency = new AckFrequency(ackSender);
  }

  sendHandshakeDone(): void {
    this.handshakeDone = true;
  }

  /** RFC 9000 §8.1.3. */
  sendNewToken(token: Uint8Array): void {
    this.token = token;
    this.tokenWaits = true;
  }

  /** A token waits to be sent, or to be acknowledged. */
  get hasNewToken(): boolean {
    return this.token !== null;
  }

  /** For keep-alive; probes add their own. */
  sendPing(): void {
    this.ping = true;
  }

  /** Whether a PATH_RESPONSE was written since the last call: its datagram has to be large (RFC 9000 §8.2.2). */
  takeAnswered(): boolean {
    const { answered } = this;
    this.answered = false;
    return answered;
  }

  hasPending(): boolean {
    return (
      this.handshakeDone ||
      this.tokenWaits ||
      this.ping ||
      this.ackFrequency.isWanted ||
      this.localIds.nextUnsent() !== null ||
      this.peerIds.hasRetire ||
      this.responses.count > 0
    );
  }

  /** Nothing waits, and no PATH_RESPONSE still asks for a large datagram. */
  get isIdle(): boolean {
    return !this.answered && !this.hasPending();
  }

  /** Writes what fits at `pos` and notes it in `sent`; returns the new position. */
  fill(buf: Uint8Array, pos: number, limit: number, sent: SentPackets): number {
    let at = this.fillSingles(buf, pos, limit, sent);
    for (let data = this.responses.peek(); data !== null; data = this.responses.peek()) {
      const next = writePathResponse(buf, at, limit, data);
      if (next < 0) return at;
      this.answered = true;
      this.responses.pop(); // never resent: the peer sends a new challenge (RFC 9000 §13.3)
      at = next;
    }
    while (this.peerIds.hasRetire) {
      const seq = this.peerIds.takeRetire();
      const next = writeRetireConnectionId(buf, at, limit, seq);
      if (next < 0) {
        this.peerIds.onRetireLost(seq);
        return at;
      }
      sent.note(REC_RETIRE_CONNECTION_ID, seq, 0, 0);
      at = next;
    }
    return this.fillNewIds(buf, at, limit, sent);
  }

  private fillSingles(buf: Uint8Array, pos: number, limit: number, sent: SentPackets): number {
    let at = pos;
    if (this.handshakeDone) {
      const next = writeHandshakeDone(buf, at, limit);
      if (next < 0) return at;
      this.handshakeDone = false;
      sent.note(REC_HANDSHAKE_DONE, 0, 0, 0);
      at = next;
    }
    if (this.tokenWaits && this.token !== null) {
      const next = writeNewToken(buf, at, limit, this.token);
      if (next < 0) return at;
      this.tokenWaits = false;
      sent.note(REC_NEW_TOKEN, 0, 0, 0);
      at = next;
    }
    if (this.ackFrequency.isWanted) {
      const next = this.ackFrequency.fill(buf, at, limit, sent);
      if (next < 0) return at;
      at = next;
    }
    if (this.ping) {
      const next = writePing(buf, at, limit);
      if (next < 0) return at;
      this.ping = false;
      sent.note(REC_PING, 0, 0, 0);
      at = next;
    }
    return at;
  }

  /** First in a packet that probes for a PTO: the peer may wait for more packets (draft-ietf-quic-ack-frequency §7). */
  fillProbe(buf: Uint8Array, pos: number, limit: number, sent: SentPackets): number {
    if (!this.ackFrequency.isReduced) return pos;
    const next = writeImmediateAck(buf, pos, limit);
    if (next < 0) return pos;
    sent.note(REC_PING, 0, 0, 0); // as little to be sent again as a PING
    return next;
  }

  private fillNewIds(buf: Uint8Array, pos: number, limit: number, sent: SentPackets): number {
    let at = pos;
    const { retirePriorTo } = this.localIds;
    for (let id = this.localIds.nextUnsent(); id !== null && id.token !== null; id = this.localIds.nextUnsent()) {
      const next = writeNewConnectionId(buf, at, limit, id.seq, Math.min(retirePriorTo, id.seq), id.cid, id.token);
      if (next < 0) return at;
      this.localIds.onFrameSent(id.seq);
      sent.note(REC_NEW_CONNECTION_ID, id.seq, 0, 0);
      at = next;
    }
    return at;
  }

  onFrameAcked(kind: number, id: number): void {
    if (kind === REC_RETIRE_CONNECTION_ID) this.peerIds.onRetireAcked(id);
    else if (kind === REC_NEW_TOKEN) this.token = null;
    else if (kind === REC_NEW_CONNECTION_ID) this.localIds.onFrameAcked(id);
    else if (kind === REC_ACK_FREQUENCY) this.ackFrequency.onAcked(id);
  }

  onFrameLost(kind: number, id: number): void {
    if (kind === REC_HANDSHAKE_DONE) this.handshakeDone = true;
    else if (kind === REC_NEW_TOKEN) this.tokenWaits = this.token !== null;
    else if (kind === REC_RETIRE_CONNECTION_ID) this.peerIds.onRetireLost(id);
    else if (kind === REC_NEW_CONNECTION_ID) this.localIds.onFrameLost(id);
    else if (kind === REC_ACK_FREQUENCY) this.ackFrequency.onLost(id);
  }
}
