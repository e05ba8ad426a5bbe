/** Arguments of the commands below test/: `--help` says what there is, a bad one is one line and exit code 2. */

import { parseArgs, type ParseArgsConfig } from "node:util";

type OptionTable = NonNullable<ParseArgsConfig["options"]>;

/** A bad argument; its message is all that is printed. */
export class UsageError extends Error {}

/** Options of `npm run NAME`. Ends the process for `--help`. @throws UsageError */
export function readArguments<T extends OptionTable>(
  name: string,
  options: T,
  args = process.argv.slice(2),
): ReturnType<typeof parseArgs<{ options: T; args: string[] }>>["values"] {
  if (args.includes("--help")) {
    console.log(`npm run ${name} -- ${wordsOf(options).join(" ")}`);
    process.exit(0);
  }
  try {
    return parseArgs({ options, args }).values;
  } catch (error) {
    const [sentence = ""] = (error as Error).message.split(/\. |\n/);
    throw new UsageError(`${sentence}; options here: ${wordsOf(options).join(" ")}`);
  }
}

/** Each option as it is written. */
function wordsOf(options: OptionTable): string[] {
  return Object.entries(options).map(([name, { type, multiple }]) => {
    const word = type === "boolean" ? `[--${name}]` : `[--${name} ${name.toUpperCase()}]`;
    return multiple === true ? `${word}...` : word;
  });
}

/** Runs a command: its result is the exit code; a UsageError is one line and 2. */
export async function runCommand(name: string, command: () => number | Promise<number>): Promise<void> {
  try {
    process.exitCode = await command();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${name}: ${error.message}`);
    process.exitCode = 2;
  }
}
