/** What the network saw, one line a datagram, for people who look for the reason of a failure. */

import type { Datagram, DropCause, Host, WireTap } from "#src/sim/index.js";
import { readPackets } from "./wire.js";

const NAMES = ["Initial", "0-RTT", "Handshake", "Retry", "VN", "1-RTT"];
const FRAMES = ["PAD", "PING", "ACK", "ACK", "RESET", "STOP", "CRYPTO", "NEW_TOKEN"];

export class PrintingTap implements WireTap {
  constructor(
    private readonly inner: WireTap,
    private readonly startMicros: number,
    private readonly print: (line: string) => void,
  ) {}

  onSent(host: Host, datagram: Datagram, nowMicros: number): void {
    const packets = readPackets(datagram.bytes, datagram.length).map(({ type, payloadStart, payloadEnd }) => {
      const bytes = payloadEnd - payloadStart;
      if (bytes <= 0) return NAMES[type];
      const frame = datagram.bytes[payloadStart];
      return `${NAMES[type]}(${FRAMES[frame] ?? frame.toString(16)}.. ${bytes})`;
    });
    const { bytes } = datagram;
    const dcid = (bytes[0] & 0x80) === 0 ? bytes.subarray(1, 3) : bytes.subarray(6, 8);
    const to = Buffer.from(dcid).toString("hex");
    this.line(nowMicros, datagram, `${host.name} sends ${datagram.length} to ${to} ${packets.join(" ")}`);
    this.inner.onSent(host, datagram, nowMicros);
  }

  onDelivered(host: Host, datagram: Datagram, nowMicros: number): void {
    this.line(nowMicros, datagram, `                  ${host.name} gets ${datagram.length}`);
    this.inner.onDelivered(host, datagram, nowMicros);
  }

  onDropped(datagram: Datagram, cause: DropCause, nowMicros: number): void {
    this.line(nowMicros, datagram, `                  lost: ${cause}`);
    this.inner.onDropped(datagram, cause, nowMicros);
  }

  afterTransmit(host: Host, nowMicros: number): void {
    this.inner.afterTransmit(host, nowMicros);
  }

  private line(nowMicros: number, datagram: Datagram, text: string): void {
    const millis = ((nowMicros - this.startMicros) / 1000).toFixed(3).padStart(11);
    this.print(`${millis} #${String(datagram.id).padEnd(4)} ${text}`);
  }
}
