/** The ways to call `connect`, as node:net has them: `(options, onConnect)` and `(port, host, onConnect)`. */

import { invalidType } from "../errors.js";
import type { ConnectOptions } from "./options.js";

export type ConnectArguments =
  | [options: ConnectOptions, onConnect?: () => void]
  | [port: number | string, onConnect?: () => void]
  | [port: number | string, host: string | undefined, onConnect?: () => void];

/** @throws TypeError for a path, which is no address here, and for anything else. */
export function normalizeConnect(args: readonly unknown[]): {
  options: ConnectOptions;
  onConnect: (() => void) | undefined;
} {
  const [first, second] = args;
  const last = args.findLast((each) => typeof each === "function") as (() => void) | undefined;
  if (typeof first === "object" && first !== null) return { options: first, onConnect: last };
  if (typeof first !== "number" && (typeof first !== "string" || Number.isNaN(Number(first)) || first.trim() === "")) {
    throw invalidType("port", "a port, or an object of options (there are no sockets by path)", first);
  }
  return { options: { port: first, ...(typeof second === "string" && { host: second }) }, onConnect: last };
}
