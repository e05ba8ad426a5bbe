/**
 * Who of the programs gets a client: their lists of protocols and names, by place. Programs of one user share a place by the
 * rules of sockets (socket/dispatch); between users nobody gets in the way of another.
 *
 * Invariants: whoever registers first keeps all of its clients (B01). A list of another user that could take one of them, by
 * the same protocol at an address that both hear and a name that both serve, is refused, whichever of the two is wider (B02).
 * Which of a port's sockets a client came in by does not matter: who listens on all addresses hears it at each of them.
 */

import { isIP } from "node:net";
import { ADDR_LOCAL_IP0 } from "../port/udp.js";
import { addressToWords, isAnyAddress, isMappedIpv4, wordsToAddress } from "../runtime/address.js";
import { type Hello, type ListenKey, Listeners } from "../socket/dispatch.js";
import { EADDRINUSE } from "../socket/errno.js";
import type { Place, Wanted } from "./messages.js";

/** What one program asked for. `T` is who gets the clients. */
export interface Registration<T> {
  readonly owner: T;
  readonly uid: number;
  readonly key: ListenKey;
  /** Words of the address. */
  readonly words: Int32Array;
  readonly port: number;
  /** Clients prove their address by a Retry first. */
  readonly retry: boolean;
}

export class Registry<T> {
  private readonly all = new Set<Registration<T>>();
  private readonly byPort = new Map<number, Listeners<Registration<T>>>();

  /** The registration, or -EADDRINUSE. */
  add(owner: T, uid: number, place: Place, wanted: Wanted): Registration<T> | number {
    const words = wordsOf(place.address);
    const registration = { owner, uid, key: keyOf(place, words, wanted), words, port: place.port, retry: wanted.retry };
    for (const other of this.all) if (other.uid !== uid && couldTake(other, registration)) return -EADDRINUSE;
    let listeners = this.byPort.get(place.port);
    if (listeners === undefined) this.byPort.set(place.port, (listeners = new Listeners()));
    const result = listeners.add(registration.key, registration);
    if (result !== 0) return result;
    this.all.add(registration);
    return registration;
  }

  remove(registration: Registration<T>): void {
    this.all.delete(registration);
    const listeners = this.byPort.get(registration.port);
    listeners?.remove(registration);
    if (listeners?.size === 0) this.byPort.delete(registration.port);
  }

  /** Names in the lists of a user's programs, each list as one more. */
  namesOf(uid: number): number {
    let sum = 0;
    for (const { uid: other, key } of this.all) if (other === uid) sum += weightOf(key);
    return sum;
  }

  /** Who gets the client that called the port at the local address of `addr`, a source row of port/udp; null: nobody. */
  match(port: number, hello: Hello, addr: Int32Array): Registration<T> | null {
    const local = addr.subarray(ADDR_LOCAL_IP0, ADDR_LOCAL_IP0 + 4);
    // unknown only where the kernel does not tell: then whoever is at the port hears it
    const text = isAnyAddress(local, 0) ? "" : wordsToAddress(local, 0);
    const hears = (key: ListenKey): boolean =>
      text === "" || (key.isWildcard ? hearsFamily(key.family, isMappedIpv4(local, 0)) : placeHost(key) === text);
    return this.byPort.get(port)?.match(hello, hashOf(addr), hears) ?? null;
  }
}

/** What a list adds to `namesOf`. */
export function weightOf({ alpn, serverNames }: Pick<Wanted, "alpn" | "serverNames">): number {
  return 1 + alpn.length + serverNames.length;
}

function keyOf({ address, port, ipv6Only }: Place, words: Int32Array, wanted: Wanted): ListenKey {
  const host = wordsToAddress(words, 0);
  const isWildcard = isWildcardAddress(words);
  const isIpv4 = isIP(address) === 4 || isMappedIpv4(words, 0);
  const family = isIpv4 ? "IPv4" : isWildcard && !ipv6Only ? "both" : "IPv6";
  const { alpn, serverNames, reusePort } = wanted;
  return { place: `${host} ${port}`, isWildcard, family, alpn, serverNames, reusePort };
}

/** The address of a key as text: that of its words, so that an IPv4 address has one text however it was written. */
function placeHost(key: ListenKey): string {
  return key.place.slice(0, key.place.indexOf(" "));
}

/** Whether some client could be for either of them. */
function couldTake(one: Registration<unknown>, other: Registration<unknown>): boolean {
  if (one.port !== other.port || !overlap(one.key, other.key)) return false;
  const sameProtocol =
    one.key.alpn.length === 0
      ? other.key.alpn.length === 0
      : one.key.alpn.some((name) => other.key.alpn.includes(name));
  return sameProtocol && namesOverlap(one.key.serverNames, other.key.serverNames);
}

function overlap(one: ListenKey, other: ListenKey): boolean {
  if (placeHost(one) === placeHost(other)) return true;
  if (one.isWildcard && hearsFamily(one.family, other.family === "IPv4")) return true;
  if (other.isWildcard && hearsFamily(other.family, one.family === "IPv4")) return true;
  return false;
}

function hearsFamily(family: ListenKey["family"], isIpv4: boolean): boolean {
  return family === "both" || (family === "IPv4") === isIpv4;
}

function namesOverlap(one: readonly string[], other: readonly string[]): boolean {
  if (one.length === 0 || other.length === 0) return true;
  return one.some((name) => other.some((second) => covers(name, second) || covers(second, name)));
}

/** `*.example.org` covers itself and one label before it. */
function covers(name: string, other: string): boolean {
  if (name === other) return true;
  const dot = other.indexOf(".");
  return name.startsWith("*.") && dot > 0 && name.slice(1) === other.slice(dot);
}

export function wordsOf(address: string): Int32Array {
  const words = new Int32Array(4);
  addressToWords(address, words, 0);
  return words;
}

/** `::`, or 0.0.0.0 in the form of port/udp. */
export function isWildcardAddress(words: Int32Array): boolean {
  return isAnyAddress(words, 0) || (isMappedIpv4(words, 0) && words[3] === 0);
}

const HEARS_IPV4 = 1;
const HEARS_IPV6 = 2;

/** Packets of which families arrive at a place. */
function familiesOf({ address, ipv6Only }: Place): number {
  const words = wordsOf(address);
  if (isMappedIpv4(words, 0)) return HEARS_IPV4;
  return isWildcardAddress(words) && !ipv6Only ? HEARS_IPV4 | HEARS_IPV6 : HEARS_IPV6;
}

/** Whether all that arrives at `other` could as well arrive at `place`, which has its port and all addresses. */
export function coversPlace(place: Place, other: Place): boolean {
  if (place.port !== other.port || !isWildcardAddress(wordsOf(place.address))) return false;
  const heard = familiesOf(other);
  return (familiesOf(place) & heard) === heard;
}

/** Both have all addresses, and IPv6 is among what they hear. */
export function shareIpv6(place: Place, other: Place): boolean {
  const areWildcards = isWildcardAddress(wordsOf(place.address)) && isWildcardAddress(wordsOf(other.address));
  return areWildcards && (familiesOf(place) & familiesOf(other) & HEARS_IPV6) !== 0;
}

/** Of the peer's address and port: one peer always meets the same member of a REUSEPORT group. */
function hashOf(addr: Int32Array): number {
  let hash = 0;
  for (let i = 0; i < ADDR_LOCAL_IP0; i++) hash = Math.imul(hash ^ (addr[i] as number), 0x9e3779b1);
  return hash ^ (hash >>> 15);
}
