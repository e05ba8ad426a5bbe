/**
 * `npm run bench -- NAME [options]`: prints a table, and with `--json` one JSON object as the last line. Bad arguments are
 * one line and exit code 2, a run that failed is one line and exit code 1.
 */

import { agent } from "./agent.js";
import type { Bench } from "./bench.js";
import { bulk } from "./bulk.js";
import { copies } from "./copies.js";
import { file } from "./file.js";
import { handshake } from "./handshake.js";
import { host } from "./host.js";
import { js } from "./js.js";
import { memory } from "./memory.js";
import { net } from "./net.js";
import { requests } from "./requests.js";
import { tunnel } from "./tunnel.js";
import { Options, UsageError } from "./options.js";

const BENCHES: Readonly<Record<string, Bench>> = {
  bulk,
  handshake,
  requests,
  memory,
  js,
  copies,
  file,
  tunnel,
  host,
  net,
  agent,
};

/** Each benchmark with its options and their defaults. */
function help(): string {
  const lines = Object.entries(BENCHES).map(([name, { help, options }]) => {
    const words = Object.entries(options).map(([option, value]) =>
      value === false ? `[--${option}]` : `[--${option} ${value}]`,
    );
    return `  ${name.padEnd(10)} ${help}\n${" ".repeat(13)}${words.join(" ")}`;
  });
  return `npm run bench -- NAME [options] [--json]\n${lines.join("\n")}`;
}

async function main(args: readonly string[]): Promise<void> {
  const [name = ""] = args;
  if (name === "--help" || name === "help") {
    console.log(help());
    return;
  }
  const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
  if (bench === undefined) {
    const given = name === "" ? "no benchmark was named" : `there is no benchmark ${JSON.stringify(name)}`;
    throw new UsageError(`${given}; first comes one of: ${Object.keys(BENCHES).join(", ")}; help shows their options`);
  }
  const options = Options.parse(args.slice(1), { ...bench.options, json: false });
  if (options.words.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(options.words[0])}`);
  const report = await bench.run(options, (line) => console.log(line));
  console.log(`node ${report.node}, ${report.tls}, ${report.datapath}`);
  if (options.flag("json")) console.log(JSON.stringify(report));
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
});
