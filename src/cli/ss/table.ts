/**
 * Columns as `ss` prints them: addresses end where their ports begin, widths are those of what is there. Text of other programs
 * is stripped of control characters. On a terminal that is too narrow the last columns stand on a line of their own.
 */

import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { oneLine } from "../failure.js";
import { detailText, extendedText, memoryText } from "./details.js";
import type { End, ListedSocket } from "./listed.js";
import type { SsOptions } from "./options.js";

const HEADER = ["State", "Recv-Q", "Send-Q", "Local Address", "Port", "Peer Address", "Port", "ALPN", "Process"];
/** Columns that are aligned to the right: addresses, which end at the colon. */
const RIGHT = new Set([3, 5]);
/** Columns of addresses, which a colon joins with the next one. */
const JOINED = new Set([3, 5]);
const ALPN = 7;
const TAB_CHARS = 8;
const PROCESS = 8;

/** @param width characters of the terminal; Infinity: lines are as long as they are. */
export function* tableLines(sockets: readonly ListedSocket[], options: SsOptions, width: number): Generator<string> {
  const names = options.numeric ? null : serviceNames();
  const columns = options.processes ? PROCESS + 1 : ALPN + 1;
  const cellsOf = (socket: ListedSocket): string[] => cells(socket, names).slice(0, columns);
  const widths = HEADER.slice(0, columns).map((title) => (options.header ? title.length : 0));
  for (const socket of sockets) {
    for (const [i, cell] of cellsOf(socket).entries()) widths[i] = Math.max(widths[i] as number, cell.length);
  }
  const folded = widths.reduce((sum, each) => sum + each + 1, -1) > width;
  if (options.header) yield* rowLines(HEADER.slice(0, columns), widths, folded);
  for (const socket of sockets) {
    yield* rowLines(cellsOf(socket), widths, folded);
    if (options.extended) yield* indented(extendedText(socket), width);
    if (options.memory) yield* indented(memoryText(socket.row), width);
    if (options.info && socket.row.details !== undefined) {
      yield* indented(detailText(socket.row, socket.row.details), width);
    }
  }
}

/** Broken between words where it does not fit. */
function* indented(text: string, width: number): Generator<string> {
  const most = Math.max(width - TAB_CHARS, TAB_CHARS);
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > most) {
      yield `\t${line}`;
      line = "";
    }
    line += line === "" ? word : ` ${word}`;
  }
  yield `\t${line}`;
}

function* rowLines(cells: readonly string[], widths: readonly number[], folded: boolean): Generator<string> {
  let line = "";
  for (const [i, cell] of cells.entries()) {
    if (folded && i === ALPN) {
      yield line.trimEnd();
      line = "\t";
    }
    line += RIGHT.has(i) ? cell.padStart(widths[i] as number) : cell.padEnd(widths[i] as number);
    line += JOINED.has(i) ? ":" : " ";
  }
  if (line.trim() !== "") yield line.trimEnd();
}

function cells({ program, row, local, remote }: ListedSocket, names: ServiceNames | null): string[] {
  const isListener = remote.address === "";
  const peer = isListener ? { address: isIP(local.address) === 4 ? "0.0.0.0" : "::", port: -1 } : remote;
  return [
    oneLine(row.state),
    String(isListener ? row.waiting : row.recvQueueBytes),
    String(isListener ? row.backlog : row.sendQueueBytes),
    addressCell(local),
    portCell(local, names),
    addressCell(peer),
    portCell(peer, names),
    row.alpn.length === 0 ? "-" : oneLine(row.alpn.join(",")).replaceAll(" ", "?"),
    `users:(("${oneLine(program.name)}",pid=${program.pid}))`,
  ];
}

function addressCell({ address }: End): string {
  if (address === "") return "*";
  return isIP(address) === 6 ? `[${address}]` : address;
}

function portCell({ port }: End, names: ServiceNames | null): string {
  return port < 0 ? "*" : (names?.get(port) ?? String(port));
}

type ServiceNames = ReadonlyMap<number, string>;

/** Names of UDP ports by /etc/services; none where there is no such file. */
function serviceNames(): ServiceNames {
  const names = new Map<number, string>();
  for (const line of readLines("/etc/services")) {
    const match = /^([^\s#]+)\s+([0-9]+)\/udp\b/.exec(line);
    if (match !== null && !names.has(Number(match[2]))) names.set(Number(match[2]), match[1] as string);
  }
  return names;
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch {
    return [];
  }
}
