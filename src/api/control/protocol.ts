/**
 * What passes over a control socket: JSON in messages of runtime/framed-socket. A question has one answer of several
 * messages: the program, pages of sockets, the end. Fields are only ever added.
 *
 *     ask:     {"ask":"sockets","details":true}
 *     answer:  {"program":{...}}  {"sockets":[...]} ...  {"end":true,"counters":{...}}  or {"error":"..."}
 */

import type { Counters } from "./counters.js";
import type { SocketRow } from "./rows.js";

export interface Question {
  /** Listeners are sockets; `program`: without any. */
  ask: "sockets" | "listeners" | "program";
  /** What `quic ss -i` shows. */
  details?: boolean;
}

export interface ProgramInfo {
  pid: number;
  /** The script's base name, else that of the executable. */
  name: string;
  uid: number;
  node: string;
  netquic: string;
  tls: string;
  datapath: string;
  /** When the process started, milliseconds since 1970. */
  startedAtMillis: number;
  /** Memory of the process, bytes. */
  rssBytes: number;
}

export type Answer =
  | { program: ProgramInfo }
  | { sockets: SocketRow[] }
  /** `heldBytes`: memory of all connections' queues. */
  | { end: true; counters: Counters; heldBytes: number }
  | { error: string };

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export function encodeMessage(message: Question | Answer): Uint8Array {
  return encoder.encode(JSON.stringify(message));
}

/** Null for what is no JSON object. */
export function decodeMessage(bytes: Uint8Array): Record<string, unknown> | null {
  try {
    const message: unknown = JSON.parse(decoder.decode(bytes));
    return typeof message === "object" && message !== null && !Array.isArray(message)
      ? (message as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
