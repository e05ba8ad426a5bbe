/**
 * What is sent to which address, seen from outside (RFC 9000 §8.1, §9.5): nobody who cannot answer gets more than three
 * times of what a server got from there, and no connection id is on two paths, whose ever it is.
 */

import type { Connection } from "#src/conn/connection.js";
import { AMPLIFICATION_FACTOR } from "#src/proto/limits.js";
import { ADDR_IP3, ADDR_PORT } from "#src/port/udp.js";
import type { Datagram } from "#src/sim/index.js";
import type { Program } from "./program.js";

const PORTS = 65_536;
/** Makes one number of two addresses, 48 bits each; that two pairs have the same one is too rare to matter. */
const PATH_FACTOR = 29;
/** 198.51.100.0/24: nothing that is sent there arrives. */
const SPOOFED_NET = (198 << 24) | (51 << 16) | (100 << 8);
const NET_MASK = ~255;

interface Bytes {
  received: number;
  sent: number;
}

export class PathChecker {
  private readonly spoofed = new Map<number, Bytes>();
  /** Path by connection id, of what servers and what clients send. */
  private readonly byServer = new Map<number, number>();
  private readonly byClient = new Map<number, number>();

  /** The server sends. */
  onSent(datagram: Datagram, server: Program): void {
    const { length, dest } = datagram;
    if (isSpoofed(dest)) this.checkAmplification(this.bytesOf(addressKey(dest)), length);
    this.checkId(this.byServer, datagram, server);
  }

  /** The client sends. */
  onClientSent(datagram: Datagram, client: Program): void {
    this.checkId(this.byClient, datagram, client);
  }

  /** The system chose another address for the client, which learns that from what comes there: its ids go there, too. */
  onRerouted(): void {
    this.byClient.clear();
  }

  private checkId(paths: Map<number, number>, { bytes, source, dest }: Datagram, sender: Program): void {
    if ((bytes[0] & 0x80) !== 0) return;
    const id = idKey(bytes);
    const path = addressKey(dest) * PATH_FACTOR + addressKey(source);
    const before = paths.get(id);
    if (before === undefined) paths.set(id, path);
    else if (before !== path && !hasShared(sender)) {
      throw new Error(`I14: connection id ${id.toString(16)} is on two paths`);
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
function hasShared(sender: Program): boolean {
  return sender.peers.some(({ conn }) => (conn as Connection).moves.shared > 0);
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
