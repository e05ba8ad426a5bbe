/** What `-i`, `-m` and `-e` add to a socket, in the words of `ss`: times in milliseconds, rates in bits per second. */

import { isIP } from "node:net";
import type { SocketDetails, SocketRow } from "../../api/control/rows.js";
import { oneLine } from "../failure.js";
import type { ListedSocket } from "./listed.js";

/** IP and UDP headers, bytes: what is missing from the largest UDP payload to the path MTU. */
const HEADER_BYTES = { 4: 28, 6: 48 } as const;
const ECN_WORDS = { capable: "ecn ecnseen", testing: "ecn", unknown: "ecn", failed: "" } as const;
const RATE_UNITS = ["", "K", "M", "G", "T"];

/** `cubic rtt:1.2/0.4 cwnd:10 ...`; the window in packets, as `ss` has it. */
export function detailText(row: SocketRow, details: SocketDetails): string {
  const { stats } = details;
  const mss = Math.max(1, row.mssBytes);
  const active = details.paths.find(({ role }) => role === "active");
  const others = details.paths.length - 1;
  const family = isIP(addressOf(active?.remote ?? row.remote)) === 6 ? 6 : 4;
  const sendRate = stats.smoothedRttMicros > 0 ? (row.cwndBytes / stats.smoothedRttMicros) * 1e6 : 0;
  const words = [
    details.congestion,
    ECN_WORDS[stats.ecn] ?? "",
    `pto:${millis(details.ptoMicros)}`,
    details.ptoCount > 0 && `backoff:${details.ptoCount}`,
    `rtt:${millis(stats.smoothedRttMicros)}/${millis(stats.rttVarMicros)}`,
    `mss:${row.mssBytes}`,
    `pmtu:${row.mssBytes + HEADER_BYTES[family]}`,
    `cwnd:${Math.floor(row.cwndBytes / mss)}`,
    stats.ssthreshBytes !== null && `ssthresh:${Math.floor(stats.ssthreshBytes / mss)}`,
    `bytes_sent:${stats.bytesSent}`,
    details.frameBytesLost > 0 && `bytes_retrans:${details.frameBytesLost}`,
    `bytes_received:${stats.bytesReceived}`,
    `segs_out:${stats.packetsSent}`,
    `segs_in:${stats.packetsReceived}`,
    `data_out:${stats.streamBytesSent}`,
    `data_in:${stats.streamBytesReceived}`,
    `send ${rate(sendRate)}`,
    `pacing_rate ${rate(details.pacingBytesPerSec)}`,
    row.inFlightBytes > 0 && `unacked:${row.inFlightBytes}`,
    details.unsentBytes > 0 && `notsent:${details.unsentBytes}`,
    details.framesLost > 0 && `retrans:${details.framesLost}`,
    stats.packetsLost > 0 && `lost:${stats.packetsLost}`,
    stats.spuriousLosses > 0 && `spurious:${stats.spuriousLosses}`,
    stats.cwndBlocked > 0 && `cwnd_limited:${stats.cwndBlocked}`,
    stats.flowBlocked > 0 && `rwnd_limited:${stats.flowBlocked}`,
    `minrtt:${millis(stats.minRttMicros)}`,
    `streams:${details.streamsOpen}`,
    others > 0 && `paths:${details.paths.length}`,
    stats.pathMoves > 0 && `moves:${stats.pathMoves}`,
    stats.keyUpdates > 0 && `key_updates:${stats.keyUpdates}`,
    `version:${versionName(details.version)}`,
    details.cipher !== "" && `cipher:${details.cipher}`,
    details.serverName !== "" && `sni:${details.serverName}`,
    details.isEarlyAccepted && "early_data",
    stats.plaintext && "plaintext",
    `scid:${details.localCids[0] ?? ""}`,
    `dcid:${details.peerCid}`,
  ];
  return oneLine(words.filter((word) => typeof word === "string" && word !== "").join(" "), 2000);
}

export function memoryText(row: SocketRow): string {
  const { recvQueueBytes, recvBufferBytes, sendQueueBytes, sendBufferBytes, heldBytes } = row;
  return `skmem:(r${recvQueueBytes},rb${recvBufferBytes},t${sendQueueBytes},tb${sendBufferBytes},held${heldBytes})`;
}

export function extendedText({ program, row }: ListedSocket): string {
  const names = row.serverNames?.length > 0 ? ` sni:${row.serverNames.join(",")}` : "";
  return oneLine(
    `uid:${row.uid} ino:${row.inode} sk:${socketHex(row.inode)} role:${row.role} api:${row.api} udp:${row.udp} ` +
      `node:${program.node} tls:${program.tls} datapath:${program.datapath}${names}`,
  );
}

/** In place of the kernel's pointer. */
export function socketHex(inode: number): string {
  return inode.toString(16).padStart(16, "0");
}

function millis(micros: number): string {
  return String(Number((micros / 1000).toPrecision(4)));
}

/** `4.63Mbps` */
function rate(bytesPerSec: number): string {
  let bits = bytesPerSec * 8;
  let unit = 0;
  while (bits >= 1000 && unit < RATE_UNITS.length - 1) {
    bits /= 1000;
    unit++;
  }
  return `${Number(bits.toPrecision(3))}${RATE_UNITS[unit]}bps`;
}

function versionName(version: number): string {
  return version === 1 ? "1" : version === 0x6b3343cf ? "2" : `0x${version.toString(16)}`;
}

function addressOf(text: string): string {
  return text.startsWith("[") ? text.slice(1, text.indexOf("]")) : text.slice(0, text.lastIndexOf(":"));
}
