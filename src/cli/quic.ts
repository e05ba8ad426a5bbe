#!/usr/bin/env node
/** The `quic` command: finds the subcommand, and turns every failure into one line on stderr and an exit code. */

import { constants } from "node:os";
import { packageVersion } from "../api/version.js";
import { agent } from "./agent.js";
import { EXIT_FAILURE, EXIT_OK, EXIT_USAGE, Failure, codeOf, oneLine, toFailure } from "./failure.js";
import { HELP } from "./help.js";
import { host } from "./host.js";
import { ss } from "./ss.js";
import { type Surroundings, transfer } from "./transfer.js";
import { tunnel } from "./tunnel.js";

type Command = (args: readonly string[], around: Surroundings) => Promise<number>;

const COMMANDS: Readonly<Record<string, Command>> = { agent, host, ss, transfer, tunnel };

/** After the work: how long a handle that was left open may keep the process. */
const LINGER_MILLIS = 2000;

async function main(argv: readonly string[]): Promise<number> {
  // `help COMMAND` as `COMMAND --help`
  const [name, ...args] = argv[0] === "help" && argv.length > 1 ? [argv[1], "--help"] : argv;
  if (name === "--help" || name === "-h" || name === "help") {
    process.stdout.write(HELP);
    return EXIT_OK;
  }
  if (name === "--version") {
    process.stdout.write(`${packageVersion()}\n`);
    return EXIT_OK;
  }
  if (name === undefined) {
    process.stdout.write(HELP);
    return EXIT_USAGE;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    process.stderr.write(`${oneLine(`quic: there is no command ${JSON.stringify(name)}; see quic --help`)}\n`);
    return EXIT_USAGE;
  }
  try {
    return await command(args, {
      stdout: process.stdout,
      env: process.env,
      signal: untilInterrupted(),
      onHangup: (reload) => process.removeAllListeners("SIGHUP").on("SIGHUP", reload),
    });
  } catch (error) {
    const failure = toFailure(error);
    const hint = failure.exitCode === EXIT_USAGE ? `; see quic ${name} --help` : "";
    if (failure.message !== "") process.stderr.write(`quic ${name}: ${failure.message}${hint}\n`);
    if (!(error instanceof Failure) && process.env["NODE_DEBUG"]?.includes("netquic")) console.error(error);
    return failure.exitCode;
  }
}

/** Aborted by Ctrl-C, by SIGTERM, and when nobody reads the output any more. */
function untilInterrupted(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    const exitCode = 128 + constants.signals[signal];
    process.on(signal, () => controller.abort(new Failure(`interrupted (${signal})`, { exitCode })));
  }
  process.stdout.on("error", (error) => {
    const why = codeOf(error) === "EPIPE" ? "nobody reads the output" : error.message;
    controller.abort(new Failure(why, { exitCode: EXIT_FAILURE }));
  });
  return controller.signal;
}

process.exitCode = await main(process.argv.slice(2));
setTimeout(() => process.exit(), LINGER_MILLIS).unref();
