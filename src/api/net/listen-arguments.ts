/** The ways to call `listen`, as node:net has them: `(port, host, backlog, onListening)` and `(options, onListening)`. */

import { invalidType } from "../errors.js";
import { readPort } from "./options.js";

export interface ListenOptions {
  /** 0: any. */
  port: number;
  host: string | undefined;
  ipv6Only: boolean;
  signal: AbortSignal | undefined;
}

interface GivenOptions {
  port?: number | string | undefined;
  host?: string | undefined;
  /** Taken for net's sake: how many connections may wait is bounded by the engine's limits. */
  backlog?: number | undefined;
  ipv6Only?: boolean | undefined;
  /** Closes the server. */
  signal?: AbortSignal | undefined;
}

export type ListenArguments =
  | [options: GivenOptions, onListening?: () => void]
  | [port?: number | string, onListening?: () => void]
  | [port: number | string, host: string | undefined, onListening?: () => void]
  | [port: number | string, host: string | undefined, backlog: number | undefined, onListening?: () => void];

/** @throws TypeError for what is no port; RangeError `ERR_SOCKET_BAD_PORT`. */
export function normalizeListen(args: readonly unknown[]): {
  options: ListenOptions;
  onListening: (() => void) | undefined;
} {
  const [first, second] = args;
  const onListening = args.findLast((each) => typeof each === "function") as (() => void) | undefined;
  if (typeof first === "object" && first !== null) {
    const { port, host, ipv6Only, signal } = first as GivenOptions;
    return {
      options: { port: readPort(port ?? 0), host: hostOf(host), ipv6Only: ipv6Only ?? false, signal },
      onListening,
    };
  }
  const port = first === undefined || first === null || typeof first === "function" ? 0 : readPort(first);
  const host = typeof second === "string" ? second : undefined;
  return { options: { port, host: hostOf(host), ipv6Only: false, signal: undefined }, onListening };
}

function hostOf(host: unknown): string | undefined {
  if (host === undefined || host === null || host === "") return undefined;
  if (typeof host !== "string") throw invalidType("options.host", "a string", host);
  return host;
}
