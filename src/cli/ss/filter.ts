/**
 * The filter of `ss`, as far as it makes sense here:
 *
 *     FILTER := { state STATE | exclude STATE } [ OR ]
 *     OR     := AND { or AND }          AND := NOT { [and] NOT }          NOT := [not] ( OR ) | TERM
 *     TERM   := sport CMP PORT | dport CMP PORT | src ADDRESS | dst ADDRESS | alpn NAME | pid NUMBER
 *
 * Words may stand in one argument or in several. PORT is `443` or `:443`, ADDRESS is `10.0.0.0/8`, `[::1]:443`, `10.0.0.1:443`.
 */

import { BlockList, isIP } from "node:net";
import { usage } from "../failure.js";
import type { ListedSocket } from "./listed.js";

export type Test = (socket: ListedSocket) => boolean;

export interface Filter {
  /** Null: what `ss` shows without being asked. */
  states: ReadonlySet<string> | null;
  matches: Test;
}

const ALL = ["ESTAB", "SYN-RECV", "TIME-WAIT", "CLOSING", "LISTEN", "UNCONN"];
const BRIEF = ["SYN-RECV", "TIME-WAIT"];
/** Names of states and of groups of them, as `ss` takes them. */
const STATE_WORDS: Readonly<Record<string, readonly string[]>> = {
  all: ALL,
  connected: ALL.filter((state) => state !== "LISTEN" && state !== "UNCONN"),
  synchronized: ["ESTAB", "SYN-RECV", "TIME-WAIT", "CLOSING"],
  bucket: BRIEF,
  big: ALL.filter((state) => !BRIEF.includes(state)),
  established: ["ESTAB"],
  "syn-recv": ["SYN-RECV"],
  "time-wait": ["TIME-WAIT"],
  closing: ["CLOSING"],
  listening: ["LISTEN"],
  listen: ["LISTEN"],
  closed: ["UNCONN"],
  unconnected: ["UNCONN"],
};

const COMPARE: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  "=": (a, b) => a === b,
  "==": (a, b) => a === b,
  eq: (a, b) => a === b,
  "!=": (a, b) => a !== b,
  ne: (a, b) => a !== b,
  neq: (a, b) => a !== b,
  ">": (a, b) => a > b,
  gt: (a, b) => a > b,
  "<": (a, b) => a < b,
  lt: (a, b) => a < b,
  ">=": (a, b) => a >= b,
  ge: (a, b) => a >= b,
  geq: (a, b) => a >= b,
  "<=": (a, b) => a <= b,
  le: (a, b) => a <= b,
  leq: (a, b) => a <= b,
};

/** @throws a Failure with exit code 2 that names the word. */
export function parseFilter(args: readonly string[]): Filter {
  // `sport=:443` and `(sport` are several words
  const words = args.flatMap((arg) => arg.match(/[()]|[=!<>]+|[^\s()=!<>]+/g) ?? []);
  const reader = new FilterReader(words);
  const states = reader.states();
  const matches = reader.isAtEnd ? () => true : reader.or();
  if (!reader.isAtEnd) throw usage(`the filter ends before ${JSON.stringify(reader.next())}`);
  return { states, matches };
}

/** Reads the words from left to right. */
class FilterReader {
  private at = 0;

  constructor(private readonly words: readonly string[]) {}

  get isAtEnd(): boolean {
    return this.at === this.words.length;
  }

  next(): string {
    const word = this.words[this.at++];
    if (word === undefined) throw usage("the filter ends too early");
    return word;
  }

  /** `state` adds to none, `exclude` takes from all. */
  states(): ReadonlySet<string> | null {
    let states: Set<string> | null = null;
    for (;;) {
      if (this.takes("state")) {
        states ??= new Set();
        for (const state of this.stateWord()) states.add(state);
      } else if (this.takes("exclude")) {
        states ??= new Set(ALL);
        for (const state of this.stateWord()) states.delete(state);
      } else return states;
    }
  }

  or(): Test {
    let left = this.and();
    while (this.takes("or", "||", "|")) left = either(left, this.and());
    return left;
  }

  private and(): Test {
    let left = this.not();
    while (this.takes("and", "&&", "&") || this.startsTerm()) left = both(left, this.not());
    return left;
  }

  private not(): Test {
    if (this.takes("not", "!")) {
      const inner = this.not();
      return (socket) => !inner(socket);
    }
    if (!this.takes("(")) return this.term();
    const inner = this.or();
    if (!this.takes(")")) throw usage("the filter lacks a )");
    return inner;
  }

  private term(): Test {
    const word = this.next();
    switch (word) {
      case "sport":
      case "dport":
        return this.port(word === "sport" ? "local" : "remote");
      case "src":
      case "dst":
        this.takes("=", "==", "eq");
        return address(word === "src" ? "local" : "remote", this.next());
      case "alpn": {
        this.takes("=", "==", "eq");
        const name = this.next();
        return ({ row }) => row.alpn.includes(name);
      }
      case "pid": {
        this.takes("=", "==", "eq");
        const pid = whole(this.next(), 2 ** 31);
        return ({ program }) => program.pid === pid;
      }
      default:
        throw usage(`the filter has ${JSON.stringify(word)}; sport, dport, src, dst, alpn and pid are known`);
    }
  }

  private port(side: "local" | "remote"): Test {
    const compare = COMPARE[this.next()];
    if (compare === undefined)
      throw usage(`the filter lacks a comparison after ${side === "local" ? "sport" : "dport"}`);
    const port = whole(this.next().replace(/^:/, ""), 65_535);
    return (socket) => compare(socket[side].port, port) && socket[side].address !== "";
  }

  private stateWord(): readonly string[] {
    const word = this.next();
    const states = Object.hasOwn(STATE_WORDS, word.toLowerCase()) ? STATE_WORDS[word.toLowerCase()] : undefined;
    if (states === undefined) throw usage(`no state ${JSON.stringify(word)}; ${Object.keys(STATE_WORDS).join(", ")}`);
    return states;
  }

  private takes(...words: string[]): boolean {
    const found = words.includes(this.words[this.at] ?? "");
    if (found) this.at++;
    return found;
  }

  private startsTerm(): boolean {
    return !this.isAtEnd && !["or", "||", "|", ")"].includes(this.words[this.at] as string);
  }
}

function both(one: Test, other: Test): Test {
  return (socket) => one(socket) && other(socket);
}

function either(one: Test, other: Test): Test {
  return (socket) => one(socket) || other(socket);
}

/** `ADDRESS`, `ADDRESS/BITS`, each with `:PORT` if it is IPv4 or in brackets. */
function address(side: "local" | "remote", text: string): Test {
  const bracketed = /^\[([^\]]+)\](?:\/([0-9]+))?(?::([0-9]+))?$/.exec(text);
  const plain = /^([0-9.]+)(?:\/([0-9]+))?(?::([0-9]+))?$/.exec(text);
  const bare = /^([0-9a-fA-F:.]+)(?:\/([0-9]+))?$/.exec(text);
  const [, ip = "", bits, port] = bracketed ?? plain ?? bare ?? [];
  const family = isIP(ip);
  if (family === 0) throw usage(`the filter has ${JSON.stringify(text)}, which is no address`);
  const list = new BlockList();
  const type = family === 4 ? "ipv4" : "ipv6";
  list.addSubnet(ip, bits === undefined ? (family === 4 ? 32 : 128) : whole(bits, family === 4 ? 32 : 128), type);
  const wanted = port === undefined ? -1 : whole(port, 65_535);
  return (socket) => {
    const end = socket[side];
    if (isIP(end.address) !== family || (wanted >= 0 && end.port !== wanted)) return false;
    return list.check(end.address, type);
  };
}

function whole(text: string, most: number): number {
  const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value <= most) return value;
  throw usage(`the filter has ${JSON.stringify(text)}, which is no number up to ${most}`);
}
