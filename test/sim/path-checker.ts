/**
 * What a server sends to which address, seen from outside (RFC 9000 §8.1, §9.5): nobody who cannot answer gets more than
 * three times of what came from there, and no connection id of the client's goes to two addresses.
 */

import type { Connection } from "#src/conn/connection.js";
import { AMPLIFICATION_FACTOR } from "#src/proto/limits.js";
import { ADDR_IP3, ADDR_PORT } from "#src/port/udp.js";
import type { Datagram } from "#src/sim/index.js";
import type { Program } from "./program.js";

const PORTS = 65_536;
/** 198.51.100.0/24: nothing that is sent there arrives. */
const SPOOFED_NET = (198 << 24) | (51 << 16) | (100 << 8);
const NET_MASK = ~255;

interface Bytes {
  received: number;
  sent: number;
}

export class PathChecker {
  private readonly spoofed = new Map<number, Bytes>();
  /** Address by connection id. */
  private readonly addresses = new Map<number, number>();

  /** The server sends. */
  onSent({ bytes, length, dest }: Datagram, server: Program): void {
    const address = addressKey(dest);
    if (isSpoofed(dest)) this.checkAmplification(this.bytesOf(address), length);
    if ((bytes[0] & 0x80) !== 0) return;
    const id = idKey(bytes);
    const before = this.addresses.get(id);
    if (before === undefined) this.addresses.set(id, address);
    else if (before !== address && !hasShared(server)) {
      throw new Error(`I14: connection id ${id.toString(16)} goes to two addresses`);
    }
  }

  /** The server gets. */
  onDelivered({ length, source }: Datagram): void {
    if (isSpoofed(source)) this.bytesOf(addressKey(source)).received += length;
  }

  private checkAmplification(at: Bytes, length: number): void {
    at.sent += length;
    if (at.sent <= AMPLIFICATION_FACTOR * at.received) return;
    throw new Error(`I14: ${at.sent} bytes for ${at.received} went to an address that cannot answer`);
  }

  private bytesOf(address: number): Bytes {
    let bytes = this.spoofed.get(address);
    if (bytes === undefined) this.spoofed.set(address, (bytes = { received: 0, sent: 0 }));
    return bytes;
  }
}

/** A NAT had changed the client's address when no spare id was there: the one in use went on (RFC 9000 §9.5). */
function hasShared(server: Program): boolean {
  return server.peers.some(({ conn }) => (conn as Connection).moves.shared > 0);
}

function isSpoofed(address: Int32Array): boolean {
  return (address[ADDR_IP3] & NET_MASK) === SPOOFED_NET;
}

function addressKey(address: Int32Array): number {
  return (address[ADDR_IP3] >>> 0) * PORTS + address[ADDR_PORT];
}

/** 52 bits of an id of 8 bytes, behind the first byte of a short header. */
function idKey(bytes: Uint8Array): number {
  let key = 0;
  for (let i = 1; i <= 6; i++) key = key * 256 + bytes[i];
  return key * 16 + (bytes[7] & 15);
}
