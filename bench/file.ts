/**
 * `npm run bench -- file`: what it is worth that a file goes from the kernel into the send ring: CPU of the server for each
 * byte sent with `stream.ext.sendFile`, beside reading into a buffer and writing that, and beside bytes that are in memory
 * already. The modes take turns run by run.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bench, MEBIBYTE, newReport, note, type Report, Table, transfersOf } from "./bench.js";
import { own, withPair } from "./child.js";
import { FILE_MODES, type FileFigures, type FileJob, type FileMode } from "./file-job.js";
import type { Options } from "./options.js";
import { median, medianRatio, round, spread } from "./stats.js";

export interface FileRow {
  mode: FileMode;
  datagram: number;
  /** All threads of the server: JavaScript, addon, kernel, reads on the pool. */
  cpuNsPerByte: number;
  spread: [number, number];
  gbitPerSec: number;
  /** cpuNsPerByte to that of `readWrite`, median of the runs' ratios. */
  ratio: number;
}

async function transfer(job: Omit<FileJob, "role">): Promise<FileFigures> {
  return withPair(own("file-program.js"), job, (server) => server.message<FileFigures>());
}

async function measure(
  job: Omit<FileJob, "role" | "mode">,
  runs: number,
): Promise<{ rows: FileRow[]; first: FileFigures | undefined }> {
  const seen: Record<FileMode, FileFigures[]> = { sendFile: [], readWrite: [], memory: [] };
  for (let run = 0; run < runs; run++) {
    for (const mode of FILE_MODES) seen[mode].push(await transfer({ ...job, mode }));
  }
  const perByte = (mode: FileMode): number[] => seen[mode].map(({ cpuNanos }) => cpuNanos / job.bytes);
  const rows = FILE_MODES.map((mode) => {
    const cpu = perByte(mode);
    const [least, most] = spread(cpu);
    return {
      mode,
      datagram: job.datagramBytes,
      cpuNsPerByte: round(median(cpu)),
      spread: [round(least), round(most)] as [number, number],
      gbitPerSec: round(median(seen[mode].map(({ millis }) => (job.bytes * 8) / millis / 1e6))),
      ratio: round(medianRatio(cpu, perByte("readWrite"))),
    };
  });
  return { rows, first: seen.sendFile[0] };
}

async function runFile(options: Options, print: (line: string) => void): Promise<Report<FileRow>> {
  const { runs, bytes, warmUpBytes: warmUp, datagrams } = transfersOf(options);
  const warmUpBytes = Math.min(bytes, warmUp);
  const report = newReport<FileRow>("file");
  const dir = mkdtempSync(join(tmpdir(), "netquic-bench-"));
  const path = join(dir, "file");
  try {
    const piece = new Uint8Array(MEBIBYTE).map((_, i) => (i * 31) ^ (i >> 8));
    for (let written = 0; written < bytes; written += MEBIBYTE) writeFileSync(path, piece, { flag: "a" });
    const titles = ["datagram", "mode     ", "CPU ns/byte sent [least..most]", "to readWrite", "Gbit/s"];
    const table = new Table(titles, print);
    for (const datagramBytes of datagrams) {
      const { rows, first } = await measure({ path, bytes, warmUpBytes, datagramBytes }, runs);
      report.rows.push(...rows);
      note(report, first?.runtime);
      for (const { mode, cpuNsPerByte, spread: range, ratio, gbitPerSec } of rows) {
        table.row(datagramBytes, mode, `${cpuNsPerByte} [${range.join("..")}]`, ratio, gbitPerSec);
      }
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
  return report;
}

export const file: Bench = {
  help: "CPU for each byte of a file sent, beside reading and writing it",
  options: { runs: "9", mebibytes: "256", "warm-up": "64", datagrams: "1452" },
  run: runFile,
};
