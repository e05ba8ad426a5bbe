/**
 * 0-RTT packets that overtook the Initial of their connection (RFC 9000 §5.2.2): copies, bounded in number, bytes and
 * time over all clients and for each destination id, handed to the connection when it starts. The oldest go first.
 */

import { equalRange } from "../base/bytes.js";
import {
  EARLY_HELD_MICROS,
  MAX_EARLY_HELD_BYTES,
  MAX_EARLY_HELD_PACKETS,
  MAX_EARLY_HELD_PER_CONNECTION,
} from "../proto/limits.js";
import { sameAddress } from "./attempt.js";

export interface EarlyHeldPacket {
  readonly dcid: Uint8Array;
  readonly addr: Int32Array;
  readonly bytes: Uint8Array;
  readonly ecn: number;
  readonly atMicros: number;
}

export class EarlyHeld {
  private packets: EarlyHeldPacket[] = [];
  private bytesSum = 0;

  /** `onDropped` is told of each packet that makes room, or was here too long. */
  constructor(private readonly onDropped: () => void = () => {}) {}

  get count(): number {
    return this.packets.length;
  }

  get heldBytes(): number {
    return this.bytesSum;
  }

  /** Keeps the packet, whose bytes are a copy; false when its connection has as many as it may have. */
  hold(packet: EarlyHeldPacket): boolean {
    this.forgetBefore(packet.atMicros - EARLY_HELD_MICROS);
    let same = 0;
    for (const { dcid } of this.packets) if (equalRange(dcid, 0, dcid.length, packet.dcid)) same++;
    if (same >= MAX_EARLY_HELD_PER_CONNECTION) return false;
    this.packets.push(packet);
    this.bytesSum += packet.bytes.length;
    while (this.packets.length > MAX_EARLY_HELD_PACKETS || this.bytesSum > MAX_EARLY_HELD_BYTES) this.dropOldest();
    return true;
  }

  /** The packets to this id from this address, in order of arrival; they are given away. */
  take(dcid: Uint8Array, addr: Int32Array, nowMicros: number): EarlyHeldPacket[] {
    if (this.packets.length === 0) return [];
    this.forgetBefore(nowMicros - EARLY_HELD_MICROS);
    const belongs = (packet: EarlyHeldPacket): boolean =>
      equalRange(dcid, 0, dcid.length, packet.dcid) && sameAddress(packet.addr, addr);
    const taken = this.packets.filter(belongs);
    if (taken.length === 0) return taken;
    this.packets = this.packets.filter((packet) => !belongs(packet));
    for (const { bytes } of taken) this.bytesSum -= bytes.length;
    return taken;
  }

  clear(): void {
    this.packets = [];
    this.bytesSum = 0;
  }

  private forgetBefore(atMicros: number): void {
    while (this.packets.length > 0 && this.packets[0].atMicros < atMicros) this.dropOldest();
  }

  private dropOldest(): void {
    const oldest = this.packets.shift();
    if (oldest === undefined) return;
    this.bytesSum -= oldest.bytes.length;
    this.onDropped();
  }
}
