/**
 * `npm run bench -- js`: nanoseconds of JavaScript for each packet sent and received, and scavenges for each million of
 * them: one stream down, one core a side. The C limit runs in turn with it.
 */

import { type Bench, newReport, note, type Report, Table, transfersOf } from "./bench.js";
import { own, withPair } from "./child.js";
import type { JsFigures, JsJob } from "./js-program.js";
import { runLimit } from "./limit.js";
import type { Options } from "./options.js";
import { median, round, spread } from "./stats.js";

const LIMIT_MILLIS = 400;

export interface JsRow {
  datagram: number;
  nsPerPacketSent: number;
  nsPerPacketReceived: number;
  /** Of the side that has more of them, by the packets that it sent or received. */
  scavengesPerMillion: number;
  sentSpread: [number, number];
  receivedSpread: [number, number];
  scavengesPerMillionSent: number;
  scavengesPerMillionReceived: number;
  /** CPU time inside the addon. */
  nativeNsPerPacketSent: number;
  nativeNsPerPacketReceived: number;
  /** All CPU time of the C limit's threads. */
  limitNsPerPacketSent: number;
  limitNsPerPacketReceived: number;
  /** CPU time inside the addon by call. */
  addonNsPerPacketSent: Record<string, number>;
  addonNsPerPacketReceived: Record<string, number>;
  packetsPerSendCall: number;
  packetsPerReceiveCall: number;
}

interface Run {
  sender: JsFigures;
  receiver: JsFigures;
  limit: { nsPerPacketSent: number; nsPerPacketReceived: number };
}

async function measure(job: Omit<JsJob, "role">): Promise<Run> {
  const both = await withPair(own("js-program.js"), job, async (server, client) => {
    const [sender, receiver] = await Promise.all([server.message<JsFigures>(), client.message<JsFigures>()]);
    return { sender, receiver };
  });
  return { ...both, limit: runLimit(job.datagramBytes, LIMIT_MILLIS) };
}

const total = (counts: Record<string, number>): number => Object.values(counts).reduce((sum, count) => sum + count, 0);

const perPacket = (nanos: Record<string, number>, packets: number): Record<string, number> =>
  Object.fromEntries(Object.entries(nanos).map(([call, sum]) => [call, sum / packets]));

/** The median of each call's figures. */
function byCall(runs: readonly Record<string, number>[]): Record<string, number> {
  const calls = Object.keys(runs[0] ?? {});
  return Object.fromEntries(calls.map((call) => [call, round(median(runs.map((run) => run[call] ?? 0)))]));
}

function rowOf(datagram: number, runs: readonly Run[]): JsRow {
  const of = (figure: (run: Run) => number): number[] => runs.map(figure);
  const middle = (figure: (run: Run) => number): number => round(median(of(figure)));
  const bounds = (figure: (run: Run) => number): [number, number] => {
    const [least, most] = spread(of(figure));
    return [round(least), round(most)];
  };
  const sent = (run: Run): number => run.sender.jsNanos / run.sender.packetsSent;
  const received = (run: Run): number => run.receiver.jsNanos / run.receiver.packetsReceived;
  const scavengesSent = (run: Run): number => (run.sender.scavenges * 1e6) / run.sender.packetsSent;
  const scavengesReceived = (run: Run): number => (run.receiver.scavenges * 1e6) / run.receiver.packetsReceived;
  return {
    datagram,
    nsPerPacketSent: middle(sent),
    nsPerPacketReceived: middle(received),
    scavengesPerMillion: middle((run) => Math.max(scavengesSent(run), scavengesReceived(run))),
    sentSpread: bounds(sent),
    receivedSpread: bounds(received),
    scavengesPerMillionSent: middle(scavengesSent),
    scavengesPerMillionReceived: middle(scavengesReceived),
    nativeNsPerPacketSent: middle(({ sender }) => total(sender.nativeNanos) / sender.packetsSent),
    nativeNsPerPacketReceived: middle(({ receiver }) => total(receiver.nativeNanos) / receiver.packetsReceived),
    limitNsPerPacketSent: middle(({ limit }) => limit.nsPerPacketSent),
    limitNsPerPacketReceived: middle(({ limit }) => limit.nsPerPacketReceived),
    addonNsPerPacketSent: byCall(runs.map(({ sender }) => perPacket(sender.nativeNanos, sender.packetsSent))),
    addonNsPerPacketReceived: byCall(
      runs.map(({ receiver }) => perPacket(receiver.nativeNanos, receiver.packetsReceived)),
    ),
    packetsPerSendCall: middle(({ sender }) => sender.packetsSent / sender.nativeCalls.udpSend),
    packetsPerReceiveCall: middle(({ receiver }) => receiver.packetsReceived / receiver.nativeCalls.udpRecv),
  };
}

async function runJs(options: Options, print: (line: string) => void): Promise<Report<JsRow>> {
  const { runs, bytes, warmUpBytes, datagrams } = transfersOf(options);
  const report = newReport<JsRow>("js");
  const table = new Table(
    [
      "datagram",
      "JS ns/packet sent [least..most]",
      "received [least..most]",
      "scavenges/million",
      "addon ns",
      "C limit ns",
    ],
    print,
  );
  for (const datagramBytes of datagrams) {
    const figures: Run[] = [];
    for (let run = 0; run < runs; run++) figures.push(await measure({ warmUpBytes, bytes, datagramBytes }));
    const row = rowOf(datagramBytes, figures);
    report.rows.push(row);
    note(report, figures[0]?.sender.runtime);
    table.row(
      datagramBytes,
      `${row.nsPerPacketSent} [${row.sentSpread.join("..")}]`,
      `${row.nsPerPacketReceived} [${row.receivedSpread.join("..")}]`,
      row.scavengesPerMillion,
      `${row.nativeNsPerPacketSent} / ${row.nativeNsPerPacketReceived}`,
      `${row.limitNsPerPacketSent} / ${row.limitNsPerPacketReceived}`,
    );
  }
  return report;
}

export const js: Bench = {
  help: "nanoseconds of JavaScript per packet, and scavenges per million packets",
  options: { runs: "9", mebibytes: "1024", "warm-up": "3072", datagrams: "1452" },
  run: runJs,
};
