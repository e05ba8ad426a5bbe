/** What `quic tunnel` prints: a line for each thing that happens, and one that says where things are. */

import type { TunnelEvent, Traffic } from "../../api/tunnel/index.js";
import { addressText } from "../../api/address.js";
import { messageOf, oneLine } from "../failure.js";
import { counted, formatBytes, formatClock, formatCount } from "../format.js";

const MILLIS = 1000;

export function eventLines(event: TunnelEvent): string[] {
  switch (event.type) {
    case "serving": {
      const lines = [`listening on ${addressText(event.address, event.port)}; Ctrl-C ends`];
      if (event.pin !== null) lines.push(`clients accept the certificate of this run with --pin ${event.pin}`);
      return lines;
    }
    case "accepting":
      return [`${event.alpn}: accepting ${event.protocol} on ${addressText(event.address, event.port)}`];
    case "up":
      return [`${event.alpn}: connected, ${event.peer}`];
    case "down":
      return [`${event.alpn}: disconnected, ${event.peer}${why(event.error)}${again(event.retryMillis)}`];
    case "moved":
      return [`${event.alpn}: moved, ${event.local} to ${event.remote}`];
    case "stuck":
      return [`${event.alpn}: did not move${why(event.error)}`];
  }
}

/** `smb: 2 open, 1.00 MiB in, 3.00 MiB out; dns: ...` */
export function statusText(all: Iterable<[alpn: string, traffic: Traffic]>): string {
  return [...all].map(([alpn, traffic]) => `${alpn}: ${traffic.open} open, ${volume(traffic)}`).join("; ");
}

/** One line for each service at the end. */
export function summaryLines(all: Iterable<[alpn: string, traffic: Traffic]>): string[] {
  return [...all].map(([alpn, traffic]) => {
    const { connections, refused, reset } = traffic;
    const failed = refused + reset === 0 ? "" : ` (${formatCount(refused)} refused, ${formatCount(reset)} reset)`;
    return oneLine(`${alpn}: ${counted(connections, "connection")}${failed}, ${volume(traffic)}`);
  });
}

/** Said once for each further datagram size that did not fit. */
export function tooLargeLine(alpn: string, { datagramsTooLarge, tooLargeBytes, fitBytes }: Traffic): string {
  const count = datagramsTooLarge === 1 ? "a datagram was" : `${formatCount(datagramsTooLarge)} datagrams were`;
  return `${alpn}: ${count} too large and dropped, the last of ${tooLargeBytes} bytes where ${fitBytes} fit`;
}

function volume({ inBytes, outBytes, flows, datagramsIn, datagramsOut }: Traffic): string {
  const bytes = `${formatBytes(inBytes)} in, ${formatBytes(outBytes)} out`;
  if (datagramsIn + datagramsOut + flows === 0) return bytes;
  return `${bytes}, ${flows} flows, ${formatCount(datagramsIn)} datagrams in, ${formatCount(datagramsOut)} out`;
}

function why(error: unknown): string {
  return error === null ? "" : `: ${oneLine(messageOf(error))}`;
}

function again(retryMillis: number | null): string {
  if (retryMillis === null) return "";
  if (retryMillis < MILLIS) return "; trying again";
  return `; trying again in ${formatClock(retryMillis / MILLIS)}`;
}
