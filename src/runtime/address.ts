/**
 * Addresses as text and as the four words of port/udp: IPv6 in network order, IPv4 as ::ffff:a.b.c.d. Names are not
 * looked up here. A zone (`%eth0`, RFC 4007 §11) is the interface index of a link-local address.
 */

import { isIPv4, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { ADDR_COLS, ADDR_IFINDEX, ADDR_IP0, ADDR_PORT } from "../port/udp.js";

/** The third word of every IPv4-mapped address (RFC 4291 §2.5.5.2). */
const MAPPED = 0xffff;

/** Writes the four words of a literal address to `words[at..at + 4)`; false (and nothing written) when it is none. */
export function addressToWords(address: string, words: Int32Array, at: number): boolean {
  if (isIPv4(address)) {
    words[at] = 0;
    words[at + 1] = 0;
    words[at + 2] = MAPPED;
    words[at + 3] = ipv4Word(address);
    return true;
  }
  if (!isIPv6(address)) return false;
  const zone = address.indexOf("%");
  const [head, tail] = (zone < 0 ? address : address.slice(0, zone)).split("::");
  const before = groups(head as string);
  const after = tail === undefined ? [] : groups(tail);
  while (before.length + after.length < 8) before.push(0);
  const all = before.concat(after);
  for (let i = 0; i < 4; i++) words[at + i] = ((all[2 * i] as number) << 16) | (all[2 * i + 1] as number);
  return true;
}

/** The literal address in the words: dotted for IPv4, else the canonical form of RFC 5952 §4. Without a zone. */
export function wordsToAddress(words: Int32Array, at: number): string {
  if (isMappedIpv4(words, at)) {
    const word = words[at + 3];
    return `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
  }
  const all: number[] = [];
  for (let i = 0; i < 4; i++) all.push(words[at + i] >>> 16, words[at + i] & 0xffff);
  const [start, length] = longestZeros(all);
  if (length < 2) return joined(all);
  return `${joined(all.slice(0, start))}::${joined(all.slice(start + length))}`;
}

/** `127.0.0.1:443`, `[::1]:443`. */
export function addressText(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Whether the words hold an IPv4 address. */
export function isMappedIpv4(words: Int32Array, at: number): boolean {
  return words[at] === 0 && words[at + 1] === 0 && words[at + 2] === MAPPED;
}

/** Whether the words hold a link-local IPv6 address, which means nothing without its interface. */
export function isLinkLocal(words: Int32Array, at: number): boolean {
  return words[at] >>> 22 === 0xfe80 >>> 6;
}

/** Whether the words are all zero: any address, or an unknown one. */
export function isAnyAddress(words: Int32Array, at: number): boolean {
  return (words[at] | words[at + 1] | words[at + 2] | words[at + 3]) === 0;
}

/** Whether the words hold a multicast address (RFC 1112 §4, RFC 4291 §2.7). */
export function isMulticast(words: Int32Array, at: number): boolean {
  return isMappedIpv4(words, at) ? words[at + 3] >>> 28 === 0xe : words[at] >>> 24 === 0xff;
}

/** Writes an address row (ADDR_* columns, the local address unknown) at `at`; false when `address` is no literal. */
export function setAddressRow(row: Int32Array, at: number, address: string, port: number): boolean {
  if (!addressToWords(address, row, at + ADDR_IP0)) return false;
  row.fill(0, at + ADDR_PORT, at + ADDR_COLS);
  row[at + ADDR_PORT] = port;
  const zone = address.indexOf("%");
  if (zone >= 0) row[at + ADDR_IFINDEX] = interfaceIndex(address.slice(zone + 1));
  return true;
}

/** Index of an interface given by name or number; 0 when there is none. */
export function interfaceIndex(zone: string): number {
  if (/^[0-9]+$/.test(zone)) return Number(zone);
  for (const entry of networkInterfaces()[zone] ?? []) {
    if (entry.family === "IPv6" && entry.scopeid !== 0) return entry.scopeid;
  }
  return 0;
}

/** Name of the interface with this index, the number itself when it has no link-local address to be known by. */
export function interfaceName(index: number): string {
  for (const [name, entries] of Object.entries(networkInterfaces())) {
    if (entries?.some((entry) => entry.family === "IPv6" && entry.scopeid === index)) return name;
  }
  return String(index);
}

function ipv4Word(address: string): number {
  let word = 0;
  for (const part of address.split(".")) word = (word << 8) | Number(part);
  return word;
}

/** The 16-bit groups of one side of `::`; an IPv4 tail counts as two. */
function groups(text: string): number[] {
  const out: number[] = [];
  if (text === "") return out;
  for (const part of text.split(":")) {
    if (part.includes(".")) {
      const word = ipv4Word(part);
      out.push(word >>> 16, word & 0xffff);
    } else {
      out.push(Number.parseInt(part, 16));
    }
  }
  return out;
}

function joined(parts: number[]): string {
  return parts.map((part) => part.toString(16)).join(":");
}

/** Start and length of the first of the longest runs of zero groups. */
function longestZeros(all: number[]): [number, number] {
  let best = 0;
  let bestLength = 0;
  for (let i = 0; i < all.length; i++) {
    let end = i;
    while (end < all.length && all[end] === 0) end++;
    if (end - i > bestLength) {
      best = i;
      bestLength = end - i;
    }
    i = Math.max(i, end - 1);
  }
  return [best, bestLength];
}
