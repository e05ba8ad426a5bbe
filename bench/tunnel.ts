/**
 * `npm run bench -- tunnel`: one TCP connection through `quic tunnel`'s two ends, beside the same bytes through a relay over
 * node:tls, through socat with OpenSSL where that is installed, and through no relay. Four processes, two on each core:
 * the target with the far end, the client with the near end. The relays take turns run by run.
 */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { devCertificate } from "#src/runtime/native/x509.js";
import { type Bench, MAX_RUNS, MEBIBYTE, newReport, note, type Report, Table } from "./bench.js";
import { Child, CLIENT_CORE, own, SERVER_CORE } from "./child.js";
import type { Options } from "./options.js";
import { median, medianRatio, round, spread } from "./stats.js";
import { type Listening, type Relay, RELAYS, type TunnelJob } from "./tunnel-job.js";

const DIRS = ["down", "up"] as const;
const SOCAT = "/usr/bin/socat";

export interface TunnelRow {
  relay: Relay;
  dir: "down" | "up";
  gbitPerSec: number;
  spread: [number, number];
  /** gbitPerSec of the tunnel to that of this relay, median of the runs' ratios. */
  ratio: number;
}

async function transfer(common: Omit<TunnelJob, "role" | "port">): Promise<{ gbitPerSec: number; far: Listening }> {
  const children: Child[] = [];
  const start = (role: TunnelJob["role"], port: number, core: number): Child => {
    const child = new Child(own("tunnel-program.js"), { ...common, role, port }, core);
    children.push(child);
    return child;
  };
  try {
    const { port } = await start("target", 0, SERVER_CORE).message<Listening>();
    if (common.relay === "tcp") {
      return { ...(await start("client", port, CLIENT_CORE).message<{ gbitPerSec: number }>()), far: { port } };
    }
    const far = await start("far", port, SERVER_CORE).message<Listening>();
    const near = await start("near", far.port, CLIENT_CORE).message<Listening>();
    return { ...(await start("client", near.port, CLIENT_CORE).message<{ gbitPerSec: number }>()), far };
  } finally {
    for (const child of children) child.stop();
  }
}

async function runTunnel(options: Options, print: (line: string) => void): Promise<Report<TunnelRow>> {
  const runs = options.count("runs", MAX_RUNS);
  const bytes = options.count("mebibytes", 65_536) * MEBIBYTE;
  const warmUpBytes = options.count("warm-up", 65_536, 1) * MEBIBYTE;
  const relays = RELAYS.filter((relay) => relay !== "socat" || existsSync(SOCAT));
  const report = newReport<TunnelRow>("tunnel");
  const dir = mkdtempSync(join(tmpdir(), "netquic-bench-"));
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  const files = { cert, key, certPath: join(dir, "cert.pem"), keyPath: join(dir, "key.pem") };
  writeFileSync(files.certPath, cert);
  writeFileSync(files.keyPath, key, { mode: 0o600 });
  const table = new Table(["relay ", "dir ", "Gbit/s [least..most]  ", "tunnel to it"], print);
  try {
    for (const dir of DIRS) {
      const seen = new Map<Relay, number[]>(relays.map((relay) => [relay, []]));
      for (let run = 0; run < runs; run++) {
        for (const [relay, values] of seen) {
          const { gbitPerSec, far } = await transfer({ relay, dir, bytes, warmUpBytes, ...files });
          values.push(gbitPerSec);
          if (relay === "tunnel") note(report, { tls: far.tls ?? "", udp: far.udp ?? "" });
        }
      }
      const ours = seen.get("tunnel") as number[];
      for (const [relay, values] of seen) {
        const [least, most] = spread(values);
        const row = {
          relay,
          dir,
          gbitPerSec: round(median(values)),
          spread: [round(least), round(most)] as [number, number],
          ratio: round(medianRatio(ours, values)),
        };
        report.rows.push(row);
        table.row(relay, dir, `${row.gbitPerSec} [${row.spread.join("..")}]`, row.ratio);
      }
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
  return report;
}

export const tunnel: Bench = {
  help: "one TCP connection through quic tunnel, beside relays over TLS and none",
  options: { runs: "3", mebibytes: "256", "warm-up": "512" },
  run: runTunnel,
};
