/** Flags of a command, read by `util.parseArgs`; what is wrong is one line that names it. */

import { parseArgs } from "node:util";
import { usage } from "./failure.js";

export type Flags = Readonly<Record<string, { type: "boolean" | "string"; short?: string; multiple?: boolean }>>;

type Parsed<F extends Flags> = ReturnType<
  typeof parseArgs<{ args: string[]; options: F; allowPositionals: true; strict: true }>
>;

/** @throws a Failure with exit code 2. */
export function readFlags<const F extends Flags>(flags: F, args: readonly string[]): Parsed<F> {
  return orUsage(() => parseArgs({ args: [...args], options: flags, allowPositionals: true, strict: true }));
}

/** The path that a flag gives; undefined without the flag. @throws a Failure with exit code 2 for an empty one. */
export function pathFlag(flag: string, path: string | undefined): string | undefined {
  if (path === "") throw usage(`${flag} has an empty path`);
  return path;
}

/** What `parse`, which calls `util.parseArgs`, gives. @throws a Failure with exit code 2 for what it throws. */
export function orUsage<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    // the first sentence says what is wrong; the rest is about parseArgs
    const [first] = (error as Error).message.split(/\. (?=[A-Z])|\n/);
    throw usage(first as string);
  }
}
