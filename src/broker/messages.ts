/**
 * What a program and the host of a port say to each other, except datagrams (datagrams.ts): one JSON object a message, with
 * descriptors beside it where it says so.
 *
 * Invariant: what `readRequest` and `readReply` give has every field, of its type and within its bounds; nothing that another
 * process wrote goes further unchecked. A message that is odd in any way gives null, and ends the conversation.
 */

import { isIP } from "node:net";
import { MAX_BROKER_NAME_BYTES, MAX_BROKER_NAMES } from "../proto/limits.js";
import { type Marks, MEMORY_LEVELS, type MemoryLevel, type MemoryLimits } from "../runtime/memory-level.js";
import { MAX_MESSAGE_FDS } from "../runtime/native/unix-socket.js";
import { ROUTE_KEY_BYTES, type Route, ROUTES_MAX } from "./route-ids.js";

/** Raised when an old program and a new host would misunderstand each other. */
export const BROKER_VERSION = 2;

/** A UDP port on an address. */
export interface Place {
  /** Literal. */
  readonly address: string;
  readonly port: number;
  readonly ipv6Only: boolean;
}

/** Whose connections a program wants. */
export interface Wanted {
  /** A character for each byte; empty: clients that offer none. */
  readonly alpn: readonly string[];
  /** Lower case, `*.example.org` for one label; empty: any name or none. */
  readonly serverNames: readonly string[];
  readonly reusePort: boolean;
  /** Every client proves its address by a Retry first. */
  readonly retry: boolean;
}

/** From a program. `id` is its own number for what it asks for. */
export type Request =
  /** The first one. `resume`: the route that it had of a host that went away. */
  | { op: "hello"; version: number; resume: Route | null }
  /** Sockets of a group that it kept, with their descriptors; before the first `bind` of a resumed route. */
  | { op: "kept"; place: Place; indexes: readonly number[] }
  /** Wants packets of a place. `index`: it has this member of the group there already; -1: it has none. */
  | { op: "bind"; id: number; place: Place; index: number }
  | { op: "unbind"; id: number }
  | { op: "listen"; id: number; bind: number; wanted: Wanted }
  | { op: "unlisten"; id: number }
  /** What the queues of the program's connections hold. */
  | { op: "held"; bytes: number };

/** From the host. */
export type Reply =
  /** `trusted`: of the host's own user, gets sockets that receive. `limits`: of the operator, null for none. */
  | { op: "welcome"; route: Route; trusted: boolean; limits: MemoryLimits | null }
  /** How short memory is for all programs together. */
  | { op: "memory"; level: MemoryLevel }
  | { op: "refused"; code: string; message: string }
  /**
   * With a descriptor, unless the program named a member that it has. `group`: the place that the port was bound as. `index`:
   * -1 for a program of another user, whose sockets only send: one, or one for IPv6 and one for IPv4.
   */
  | { op: "bound"; id: number; place: Place; group: Place; index: number }
  /** Of `listen`, `unlisten`, `unbind`, and of a `bind` that failed. `code`: "" or the system's. */
  | { op: "done"; id: number; code: string; message: string }
  /** With a descriptor: a socket of the group, to be kept open and never read, so that a restart of the host loses none. */
  | { op: "keep"; group: Place; index: number };

/** A failure as it is told: with the system's code. */
export function systemCode(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}

type Fields = Readonly<Record<string, unknown>>;

const MAX_TEXT_CHARS = 512;
const MAX_ID = 2 ** 31 - 1;
const MAX_GENERATION = 2 ** 32 - 1;
const MAX_MEMBER = 4096;

export function encode(message: Request | Reply): Uint8Array {
  return Buffer.from(JSON.stringify(message, (key, value: unknown) => (key === "key" ? toHex(value) : value)));
}

/** Null for anything else. `fdCount`: of the descriptors that came with it. */
export function readRequest(bytes: Uint8Array, fdCount: number): Request | null {
  const fields = parse(bytes);
  const request = fields === null ? null : requestOf(fields);
  if (request === null) return null;
  const expected = request.op === "kept" ? request.indexes.length : 0;
  return fdCount === expected ? request : null;
}

/** Null for anything else. */
export function readReply(bytes: Uint8Array, fdCount: number): Reply | null {
  const fields = parse(bytes);
  const reply = fields === null ? null : replyOf(fields);
  if (reply === null) return null;
  const most = reply.op === "bound" ? 2 : reply.op === "keep" ? 1 : 0;
  return fdCount <= most && (reply.op !== "keep" || fdCount === 1) ? reply : null;
}

function requestOf(fields: Fields): Request | null {
  const id = number(fields["id"], 0, MAX_ID);
  switch (fields["op"]) {
    case "hello": {
      const version = number(fields["version"], 1, MAX_ID);
      const resume = fields["resume"] === null ? null : route(fields["resume"]);
      return version === null || (resume === null && fields["resume"] !== null)
        ? null
        : { op: "hello", version, resume };
    }
    case "kept": {
      const at = place(fields["place"]);
      const indexes = list(fields["indexes"], MAX_MESSAGE_FDS, (one) => number(one, 0, MAX_MEMBER));
      return at === null || indexes === null ? null : { op: "kept", place: at, indexes };
    }
    case "bind": {
      const at = place(fields["place"]);
      const index = number(fields["index"], -1, MAX_MEMBER);
      return id === null || at === null || index === null ? null : { op: "bind", id, place: at, index };
    }
    case "listen": {
      const bind = number(fields["bind"], 0, MAX_ID);
      const what = wanted(fields["wanted"]);
      return id === null || bind === null || what === null ? null : { op: "listen", id, bind, wanted: what };
    }
    case "held": {
      const bytes = number(fields["bytes"], 0, Number.MAX_SAFE_INTEGER);
      return bytes === null ? null : { op: "held", bytes };
    }
    case "unbind":
    case "unlisten":
      return id === null ? null : { op: fields["op"], id };
    default:
      return null;
  }
}

function replyOf(fields: Fields): Reply | null {
  const id = number(fields["id"], 0, MAX_ID);
  const code = text(fields["code"]);
  const message = text(fields["message"]);
  const index = number(fields["index"], fields["op"] === "bound" ? -1 : 0, MAX_MEMBER);
  const group = place(fields["group"]);
  switch (fields["op"]) {
    case "welcome": {
      const own = route(fields["route"]);
      const trusted = fields["trusted"];
      const limits = fields["limits"] === null ? null : memoryLimits(fields["limits"]);
      if (own === null || typeof trusted !== "boolean" || (limits === null && fields["limits"] !== null)) return null;
      return { op: "welcome", route: own, trusted, limits };
    }
    case "memory": {
      const level = MEMORY_LEVELS.find((one) => one === fields["level"]);
      return level === undefined ? null : { op: "memory", level };
    }
    case "refused":
      return code === null || message === null ? null : { op: "refused", code, message };
    case "bound": {
      const at = place(fields["place"]);
      if (id === null || at === null || group === null || index === null) return null;
      return { op: "bound", id, place: at, group, index };
    }
    case "done":
      return id === null || code === null || message === null ? null : { op: "done", id, code, message };
    case "keep":
      return group === null || index === null ? null : { op: "keep", group, index };
    default:
      return null;
  }
}

function parse(bytes: Uint8Array): Fields | null {
  try {
    return object(JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8")));
  } catch {
    return null;
  }
}

function object(value: unknown): Fields | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

function number(value: unknown, least: number, most: number): number | null {
  return typeof value === "number" && Number.isInteger(value) && value >= least && value <= most ? value : null;
}

function text(value: unknown, maxChars = MAX_TEXT_CHARS): string | null {
  return typeof value === "string" && value.length <= maxChars ? value : null;
}

function list<T>(value: unknown, most: number, read: (one: unknown) => T | null): T[] | null {
  if (!Array.isArray(value) || value.length > most) return null;
  const all = value.map(read);
  return all.includes(null) ? null : (all as T[]);
}

function place(value: unknown): Place | null {
  const fields = object(value);
  const address = text(fields?.["address"]);
  const port = number(fields?.["port"], 0, 65_535);
  const ipv6Only = fields?.["ipv6Only"];
  if (address === null || isIP(address) === 0 || port === null || typeof ipv6Only !== "boolean") return null;
  return { address, port, ipv6Only };
}

function route(value: unknown): Route | null {
  const fields = object(value);
  const number_ = number(fields?.["route"], 1, ROUTES_MAX);
  const generation = number(fields?.["generation"], 0, MAX_GENERATION);
  const hex = text(fields?.["key"], 2 * ROUTE_KEY_BYTES);
  if (number_ === null || generation === null || hex === null) return null;
  if (hex.length !== 2 * ROUTE_KEY_BYTES || !/^[0-9a-f]*$/.test(hex)) return null;
  return { route: number_, generation, key: new Uint8Array(Buffer.from(hex, "hex")) };
}

function memoryLimits(value: unknown): MemoryLimits | null {
  const fields = object(value);
  const memBytes = marks(fields?.["memBytes"]);
  const rmemBytes = fields?.["rmemBytes"] === null ? null : marks(fields?.["rmemBytes"]);
  const wmemBytes = fields?.["wmemBytes"] === null ? null : marks(fields?.["wmemBytes"]);
  if (memBytes === null || (rmemBytes === null && fields?.["rmemBytes"] !== null)) return null;
  return wmemBytes === null && fields?.["wmemBytes"] !== null ? null : { memBytes, rmemBytes, wmemBytes };
}

function marks(value: unknown): Marks | null {
  const all = list(value, 3, (one) => number(one, 1, Number.MAX_SAFE_INTEGER));
  if (all === null || all.length !== 3) return null;
  const [low, middle, high] = all as [number, number, number];
  return low <= middle && middle <= high ? [low, middle, high] : null;
}

/** Names that a TLS extension can carry: not empty, a byte for each character. There is no `*` ALPN: it would be a name. */
function wanted(value: unknown): Wanted | null {
  const fields = object(value);
  const alpn = list(fields?.["alpn"], MAX_BROKER_NAMES, alpnName);
  const serverNames = list(fields?.["serverNames"], MAX_BROKER_NAMES, serverName);
  const reusePort = fields?.["reusePort"];
  const retry = fields?.["retry"];
  if (alpn === null || serverNames === null || typeof reusePort !== "boolean" || typeof retry !== "boolean")
    return null;
  return { alpn, serverNames, reusePort, retry };
}

function alpnName(value: unknown): string | null {
  const name = text(value, MAX_BROKER_NAME_BYTES);
  return name !== null && name !== "*" && /^[\0-\xff]*$/.test(name) ? name : null;
}

function serverName(value: unknown): string | null {
  const name = text(value, MAX_BROKER_NAME_BYTES);
  return name !== null && /^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(name) ? name : null;
}

function toHex(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
}
