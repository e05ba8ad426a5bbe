/** The result of a transfer, for people and as one JSON object. */

import { formatBitRate, formatBytes, formatCount, formatFiles, formatMicros } from "../format.js";
import type { ClientReport } from "./client.js";

export interface Summary {
  report: ClientReport;
  handshakeMicros: number;
  /** Where the files arrived: at the server (null: on another machine) and back at the client. */
  serverDir: string | null;
  clientDir: string;
}

/** Bytes per second, 0 when there was nothing to time. */
function rate(bytes: number, micros: number): number {
  return micros === 0 ? 0 : (bytes * 1e6) / micros;
}

export function summaryLines({ report, handshakeMicros, serverDir, clientDir }: Summary): string[] {
  const { client, server, files, totalBytes } = report;
  const libraries = client.tls === server.tls ? client.tls : `${client.tls} (client), ${server.tls} (server)`;
  const paths = client.datapath === server.datapath ? client.datapath : `${client.datapath}, server ${server.datapath}`;
  const rows: [string, string][] = [
    [
      "verified",
      `${formatFiles(files)}, ${formatBytes(totalBytes)}, SHA-256 equal at the server and back at the client`,
    ],
    ["handshake", formatMicros(handshakeMicros)],
    ["to server", describeWay(server.receivedBytes, server.receiveMicros, client.packetsLost, client.packetsSent)],
    ["to client", describeWay(totalBytes, report.receiveMicros, server.packetsLost, server.packetsSent)],
    ["RTT", `${formatMicros(client.minRttMicros)} min, ${formatMicros(client.smoothedRttMicros)} smoothed`],
    ["TLS", `${libraries}, ${client.cipher}`],
    ["datapath", paths],
    ["files", serverDir === null ? clientDir : `${serverDir}, back from the server: ${clientDir}`],
  ];
  return rows.map(([name, text]) => `${name.padEnd(10)} ${text}`);
}

function describeWay(bytes: number, micros: number, lost: number, sent: number): string {
  const goodput = micros === 0 ? "too short to time" : `${formatBitRate(rate(bytes, micros))} goodput`;
  const share = sent === 0 ? 0 : (lost * 100) / sent;
  return `${goodput}, ${formatCount(lost)} of ${formatCount(sent)} packets lost (${share.toFixed(2)} %)`;
}

export function summaryJson({ report, handshakeMicros, serverDir, clientDir }: Summary): string {
  const { client, server, files, totalBytes } = report;
  return JSON.stringify({
    result: "verified",
    node: process.version,
    files,
    totalBytes,
    handshakeMicros,
    toServer: {
      goodputBytesPerSec: Math.round(rate(server.receivedBytes, server.receiveMicros)),
      packetsSent: client.packetsSent,
      packetsLost: client.packetsLost,
    },
    toClient: {
      goodputBytesPerSec: Math.round(rate(totalBytes, report.receiveMicros)),
      packetsSent: server.packetsSent,
      packetsLost: server.packetsLost,
    },
    minRttMicros: client.minRttMicros,
    smoothedRttMicros: Math.round(client.smoothedRttMicros),
    tls: { client: client.tls, server: server.tls, cipher: client.cipher },
    datapath: { client: client.datapath, server: server.datapath },
    serverDir,
    clientDir,
  });
}
