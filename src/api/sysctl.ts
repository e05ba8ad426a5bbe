/**
 * Limits by the names of Linux QUIC's sysctls: `net.quic.quic_mem` in pages, `quic_rmem` and `quic_wmem` in bytes, three numbers
 * each. They stand in a file as sysctl.conf has them, or in the configuration of `quic host`. What is unknown or out of
 * range is an error that names it: nobody shall believe in a limit that does not hold.
 */

import { totalmem } from "node:os";
import type { Marks, MemoryLimits } from "../runtime/memory-level.js";

export const PAGE_BYTES = 4096;

/** Linux: three times the low one's share, from an eighth of memory, as SCTP has it. */
const MEMORY_SHARE = 1 / 8;
const LEAST_MEMORY_PAGES = 128;
const LOW_SHARE = 3 / 4;

const MOST_PAGES = 2 ** 40;
const MOST_BUFFER_BYTES = 2 ** 31 - 1;
/** RFC 9000 would allow none at all, but with less than a packet nothing moves. */
const LEAST_BUFFER_BYTES = 1200;

/** A limit that is none; `message` names it. */
export class SysctlError extends Error {
  override readonly name = "SysctlError";
  readonly code = "ERR_NETQUIC_SYSCTL";
}

/** Without any setting, on a machine with so many bytes of memory. */
export function defaultLimits(memoryBytes = totalmem()): MemoryLimits {
  const pages = Math.max(LEAST_MEMORY_PAGES, Math.floor((memoryBytes / PAGE_BYTES) * MEMORY_SHARE));
  const low = Math.floor(pages * LOW_SHARE);
  return {
    memBytes: [low * PAGE_BYTES, pages * PAGE_BYTES, 2 * low * PAGE_BYTES],
    rmemBytes: null,
    wmemBytes: null,
  };
}

/** Text of a file: `name = value` lines, `#` and `;` begin comments. @throws SysctlError with the line. */
export function parseSysctl(text: string, limits = defaultLimits()): MemoryLimits {
  let all = limits;
  for (const [i, line] of text.split("\n").entries()) {
    const content = line.trim();
    if (content === "" || content.startsWith("#") || content.startsWith(";")) continue;
    const at = content.indexOf("=");
    if (at < 0) throw new SysctlError(`line ${i + 1}: ${JSON.stringify(content)} is no "name = value"`);
    try {
      all = withLimit(all, content.slice(0, at).trim(), content.slice(at + 1).trim());
    } catch (error) {
      throw new SysctlError(`line ${i + 1}: ${(error as Error).message}`);
    }
  }
  return all;
}

/** Values by name, each a text as in a file, a number or a list of numbers. @throws SysctlError that names what is wrong. */
export function readSysctl(values: Readonly<Record<string, unknown>>, limits = defaultLimits()): MemoryLimits {
  let all = limits;
  for (const [name, value] of Object.entries(values)) {
    const text = Array.isArray(value) ? value.join(" ") : value;
    if (typeof text !== "string" && typeof text !== "number") {
      throw new SysctlError(`${name}: a text, a number or a list of numbers`);
    }
    all = withLimit(all, name, String(text));
  }
  return all;
}

function withLimit(limits: MemoryLimits, name: string, text: string): MemoryLimits {
  // sysctl takes slashes, too
  switch (name.replaceAll("/", ".")) {
    case "net.quic.quic_mem": {
      const [low, pressure, high] = three(name, text, 1, MOST_PAGES);
      return { ...limits, memBytes: [low * PAGE_BYTES, pressure * PAGE_BYTES, high * PAGE_BYTES] };
    }
    case "net.quic.quic_rmem":
      return { ...limits, rmemBytes: three(name, text, LEAST_BUFFER_BYTES, MOST_BUFFER_BYTES) };
    case "net.quic.quic_wmem":
      return { ...limits, wmemBytes: three(name, text, LEAST_BUFFER_BYTES, MOST_BUFFER_BYTES) };
    default:
      throw new SysctlError(`${name}: is not known; net.quic.quic_mem, net.quic.quic_rmem and net.quic.quic_wmem are`);
  }
}

function three(name: string, text: string, least: number, most: number): Marks {
  const all = text.split(/[\s,]+/).map((word) => (/^[0-9]{1,15}$/.test(word) ? Number(word) : Number.NaN));
  const [a, b, c] = all as [number, number, number];
  if (all.length !== 3 || all.some(Number.isNaN)) {
    throw new SysctlError(`${name}: ${JSON.stringify(text)}: three whole numbers`);
  }
  const wrong = all.find((value) => value < least || value > most);
  if (wrong !== undefined) throw new SysctlError(`${name}: ${wrong} is not from ${least} to ${most}`);
  if (a > b || b > c) throw new SysctlError(`${name}: ${text}: none may be above the one after it`);
  return [a, b, c];
}
