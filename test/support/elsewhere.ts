/** A raw peer that speaks from several addresses (RFC 9000 §9), for tests of what the engine sends where. */

import assert from "node:assert/strict";
import type { Connection } from "#src/conn/connection.js";
import { simAddress } from "#src/sim/index.js";
import { Arena, type ArenaOptions, type ArenaPeer } from "./arena.js";
import { bytes, newConnectionId, vi } from "./raw-frames.js";
import { LEVEL_APP, RawPeer } from "./raw-peer.js";

export const CID_BYTES = 8;
export const SECOND = 1_000_000;
let nextPort = 40_000;

/** Another address of a raw peer: what is sent there, the peer reads. */
export class Elsewhere implements ArenaPeer {
  validated = false;
  bytesSent = 0;
  bytesReceived = 0;
  datagrams: Uint8Array[] = [];
  lines: string[] = [];

  constructor(
    readonly home: RawPeer,
    readonly address: Int32Array = simAddress(10, 0, 0, 1, nextPort++),
  ) {
    home.arena.add(this);
  }

  receive(datagram: Uint8Array): void {
    this.datagrams.push(datagram);
    const before = this.home.packets.length;
    this.home.receive(datagram);
    this.home.datagrams.pop();
    this.lines.push(...this.home.packets.splice(before).flatMap(({ frames }) => frames));
  }

  /** A packet from here, to the id of the engine's that the peer uses at home unless `dcid` names another. */
  send(frames: Uint8Array[], padTo = 0, dcid = this.home.dcid): void {
    const { home } = this;
    home.arena.send(this, home.packet(LEVEL_APP, frames, { padTo, dcid }));
  }

  /** The answer to the challenge that came here last. */
  response(): Uint8Array {
    return responseTo(this.lines);
  }

  get dcid(): string {
    return dcidOf(this.datagrams.at(-1));
  }

  /** Every id that packets to this address carried. */
  get dcids(): Set<string> {
    return new Set(this.datagrams.map(dcidOf));
  }

  /** Frames of this name that came here. */
  named(name: string): string[] {
    return this.lines.filter((line) => line.startsWith(name));
  }
}

export function challenges(lines: readonly string[]): string[] {
  return lines.filter((line) => line.startsWith("PATH_CHALLENGE"));
}

export function responseTo(lines: readonly string[]): Uint8Array {
  const [, hex = ""] = challenges(lines).at(-1)?.split(" ") ?? [];
  assert.equal(hex.length, 16, "a challenge came");
  return bytes(0x1b, Uint8Array.from(Buffer.from(hex, "hex")));
}

export function dcidOf(datagram: Uint8Array | undefined): string {
  return Buffer.from((datagram as Uint8Array).subarray(1, 1 + CID_BYTES)).toString("hex");
}

export interface Scene {
  arena: Arena;
  peer: RawPeer;
  conn: Connection;
}

/** The frame with which the peers of a scene give their id `seq`. */
export function spareId(seq: number, retirePriorTo = 0): Uint8Array {
  return newConnectionId(seq, retirePriorTo, bytes(vi(seq, CID_BYTES)));
}

/** A confirmed connection of a client that gave `spares` more ids. */
export function scene(spares = 2, options: ArenaOptions = {}): Scene {
  const arena = new Arena(options);
  const peer = new RawPeer(arena, { scid: new Uint8Array(CID_BYTES).fill(0xc0) });
  peer.connect();
  const [conn] = arena.conns;
  for (let seq = 1; seq <= spares; seq++) peer.send(LEVEL_APP, spareId(seq));
  arena.advance(SECOND);
  peer.ackAll(LEVEL_APP);
  peer.validated = true;
  peer.forget();
  return { arena, peer, conn };
}
