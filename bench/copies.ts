/**
 * `npm run bench -- copies`: what it is worth that stream data is copied into a packet in the pass that seals it: CPU of the
 * sender and bytes copied for each byte sent, beside the same with a copy of its own before; and the pass alone. The modes
 * take turns run by run.
 */

import { type Bench, newReport, note, type Report, Table, transfersOf } from "./bench.js";
import { Child, own, SERVER_CORE, withPair } from "./child.js";
import type { PassFigures } from "./copies-pass.js";
import type { JsFigures, JsJob } from "./js-program.js";
import type { Options } from "./options.js";
import { median, medianRatio, round, spread } from "./stats.js";

const MODES = ["joined", "separate"] as const;
type Mode = (typeof MODES)[number];

export interface CopiesRow {
  mode: Mode;
  datagram: number;
  /** All CPU time of the sending thread: JavaScript, addon and kernel. */
  cpuNsPerByte: number;
  spread: [number, number];
  /** cpuNsPerByte to that of `separate`, median of the runs' ratios. */
  ratio: number;
  /** Into the send ring, and from there into packets. Encryption in place is not a copy. */
  bytesCopiedPerByte: number;
  /** The sealing pass alone, its copies included. */
  passNsPerByte: number;
  /** Of that pass when the data lies in the packets already. */
  sealNsPerByte: number;
}

async function transfer(job: Omit<JsJob, "role">): Promise<JsFigures> {
  return withPair(own("js-program.js"), job, async (server, client) => {
    const [sender] = await Promise.all([server.message<JsFigures>(), client.message()]);
    return sender;
  });
}

async function pass(datagramBytes: number): Promise<PassFigures> {
  const child = new Child(own("copies-pass.js"), { datagramBytes }, SERVER_CORE);
  try {
    return await child.message<PassFigures>();
  } finally {
    child.stop();
  }
}

function cpuNanosPerByte({ jsNanos, nativeNanos, bytes }: JsFigures): number {
  return (jsNanos + Object.values(nativeNanos).reduce((sum, nanos) => sum + nanos, 0)) / bytes;
}

async function runCopies(options: Options, print: (line: string) => void): Promise<Report<CopiesRow>> {
  const { runs, bytes, warmUpBytes, datagrams } = transfersOf(options);
  const report = newReport<CopiesRow>("copies");
  const table = new Table(
    [
      "datagram",
      "mode    ",
      "CPU ns/byte sent [least..most]",
      "to separate",
      "bytes copied/byte",
      "pass ns/byte",
      "of it sealing",
    ],
    print,
  );
  for (const datagramBytes of datagrams) {
    const sent: Record<Mode, JsFigures[]> = { joined: [], separate: [] };
    const passes: PassFigures[] = [];
    for (let run = 0; run < runs; run++) {
      for (const copies of MODES) sent[copies].push(await transfer({ warmUpBytes, bytes, datagramBytes, copies }));
      passes.push(await pass(datagramBytes));
    }
    const separate = sent.separate.map(cpuNanosPerByte);
    for (const mode of MODES) {
      const cpu = sent[mode].map(cpuNanosPerByte);
      const [least, most] = spread(cpu);
      const row: CopiesRow = {
        mode,
        datagram: datagramBytes,
        cpuNsPerByte: round(median(cpu)),
        spread: [round(least), round(most)],
        ratio: round(medianRatio(cpu, separate)),
        bytesCopiedPerByte: round(median(sent[mode].map((figures) => 1 + figures.gatheredBytes / figures.bytes))),
        passNsPerByte: round(median(passes.map((figures) => figures[mode]))),
        sealNsPerByte: round(median(passes.map((figures) => figures.inPlace))),
      };
      report.rows.push(row);
      note(report, sent[mode][0]?.runtime);
      const rate = `${row.cpuNsPerByte} [${row.spread.join("..")}]`;
      table.row(datagramBytes, mode, rate, row.ratio, row.bytesCopiedPerByte, row.passNsPerByte, row.sealNsPerByte);
    }
  }
  return report;
}

export const copies: Bench = {
  help: "the copy joined to the sealing pass, beside a copy of its own",
  options: { runs: "9", mebibytes: "256", "warm-up": "128", datagrams: "1452" },
  run: runCopies,
};
