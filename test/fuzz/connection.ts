/**
 * Target: a whole endpoint behind null protection. An input is a role and a script of steps: payloads at any level that
 * authenticate, datagrams that do not, time, other addresses of the peer, and calls of the application. Whatever comes, each connection stays inside
 * its limits and leaves nothing behind.
 */

import assert from "node:assert/strict";
import { STREAM_BIDI, STREAM_UNI } from "#src/port/transport.js";
import { ADDR_PORT } from "#src/port/udp.js";
import { CONN_WINDOW_MAX_BYTES, LEDGER_FIXED_BYTES, LEDGER_WINDOW_SHARE } from "#src/proto/limits.js";
import { Arena } from "../support/arena.js";
import { bytes, newConnectionId, padding, pathChallenge, reset, sample, stream, vi } from "../support/raw-frames.js";
import { LEVEL_APP, LEVEL_HANDSHAKE, LEVEL_INITIAL, RawPeer } from "../support/raw-peer.js";
import type { Target } from "./loop.js";

const STEP_PAYLOAD_APP = 0;
const STEP_PAYLOAD_INITIAL = 1;
const STEP_PAYLOAD_HANDSHAKE = 2;
const STEP_DATAGRAM = 3;
const STEP_TIME = 4;
const STEP_OPEN = 5;
const STEP_WRITE = 6;
const STEP_READ = 7;
const STEP_END = 8;
const STEP_ACK = 9;
/** The peer is at another of its addresses from now on: a move, or a probe if that is all it sends. */
const STEP_ADDRESS = 10;
const STEPS = 11;
const FIRST_PORT = 60_000;
const ADDRESSES = 8;
const LEVELS = [LEVEL_APP, LEVEL_INITIAL, LEVEL_HANDSHAKE] as const;
const MAX_STEPS = 40;
const HELD_BYTES = LEDGER_WINDOW_SHARE * CONN_WINDOW_MAX_BYTES + 2 * LEDGER_FIXED_BYTES;

function step(kind: number, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  return bytes(kind, vi(body.length), body);
}

function payload(...frames: Uint8Array[]): Uint8Array {
  return step(STEP_PAYLOAD_APP, bytes(...frames));
}

export const connectionTarget: Target = {
  name: "connection",
  maxBytes: 2000,
  share: 6,
  seeds: () => [
    ...[0, 1].map((role) => {
      const all = Array.from({ length: 0x1c }, (_, type) => payload(sample(type)));
      all.push(payload(sample(0x1f), sample(0xaf)));
      return bytes(role, ...all, step(STEP_TIME, Uint8Array.of(200)), step(STEP_ACK));
    }),
    bytes(
      0,
      payload(stream(0, 0, padding(300), true), stream(4, 100, padding(50))),
      step(STEP_READ),
      payload(reset(4, 900)),
    ),
    bytes(0, step(STEP_OPEN), step(STEP_WRITE, padding(90)), step(STEP_ACK), step(STEP_END), step(STEP_ACK)),
    bytes(
      1,
      payload(newConnectionId(1, 0), newConnectionId(2, 1), pathChallenge(7)),
      step(STEP_PAYLOAD_HANDSHAKE, padding(3)),
    ),
    bytes(
      0,
      step(STEP_ADDRESS, Uint8Array.of(1)),
      payload(pathChallenge(9)),
      payload(newConnectionId(1, 0), newConnectionId(2, 0), stream(0, 0, padding(9))),
      step(STEP_ADDRESS, Uint8Array.of(2)),
      payload(stream(0, 9, padding(9))),
      step(STEP_TIME, Uint8Array.of(9)),
      step(STEP_ADDRESS, Uint8Array.of(1)),
      payload(stream(0, 18, padding(9)), bytes(0x1b, vi(9, 8))),
      step(STEP_ACK),
    ),
    bytes(
      0,
      payload(bytes(vi(0xaf), vi(0), vi(9), vi(5000), vi(2)), Uint8Array.of(0x1f)),
      payload(bytes(0x31, vi(3), [1, 2, 3]), bytes(0x30, [4, 5])),
      step(STEP_TIME, Uint8Array.of(5)),
    ),
    bytes(
      0,
      step(STEP_DATAGRAM, padding(40)),
      step(STEP_PAYLOAD_INITIAL, padding(1200)),
      step(STEP_TIME, Uint8Array.of(1)),
    ),
  ],
  run(input) {
    const arena = new Arena({ seed: 1, config: { maxDatagramFrameBytes: 1000 } });
    const isServer = ((input[0] ?? 0) & 1) === 1;
    const peer = new RawPeer(arena, { isServer });
    peer.validated = true;
    if (isServer) arena.connect(peer);
    peer.connect();
    let at = 1;
    for (let steps = 0; at + 1 < input.length && steps < MAX_STEPS; steps++) {
      const kind = (input[at] as number) % STEPS;
      const isLong = ((input[at + 1] as number) & 0xc0) === 0x40;
      const length = ((input[at + 1] as number) & 0x3f) * (isLong ? 256 : 1) + (isLong ? (input[at + 2] ?? 0) : 0);
      at += isLong ? 3 : 2;
      perform(arena, peer, kind, input.slice(at, at + length));
      at += length;
      check(arena);
    }
    arena.assertCleanEnd();
  },
};

function perform(arena: Arena, peer: RawPeer, kind: number, body: Uint8Array): void {
  const conn = arena.conns[0];
  const value = body[0] ?? 0;
  switch (kind) {
    case STEP_PAYLOAD_APP:
    case STEP_PAYLOAD_INITIAL:
    case STEP_PAYLOAD_HANDSHAKE: {
      const level = LEVELS[kind] as (typeof LEVELS)[number];
      if (peer.canWrite(level)) arena.send(peer, peer.packet(level, [body]));
      return;
    }
    case STEP_DATAGRAM:
      if (body.length > 0) arena.send(peer, body);
      return;
    case STEP_ADDRESS:
      peer.address[ADDR_PORT] = FIRST_PORT + (value % ADDRESSES);
      arena.add(peer);
      return;
    case STEP_TIME:
      arena.advance(1000 * 2 ** (value & 15));
      return;
    case STEP_ACK:
      if (peer.canWrite(LEVEL_APP) && peer.packets.some(({ level }) => level === LEVEL_APP)) peer.ackAll(LEVEL_APP);
      return;
    case STEP_OPEN:
      conn?.open((value & 1) === 0 ? STREAM_BIDI : STREAM_UNI);
      break;
    case STEP_WRITE:
      conn?.write(value, body, 0, body.length, false);
      break;
    case STEP_READ:
      conn?.read(value, new Uint8Array(500), 0, 500);
      break;
    default:
      conn?.write(value, body, 0, 0, true);
  }
  arena.pump();
}

function check(arena: Arena): void {
  for (const conn of arena.conns) {
    const held = conn.heldBytes();
    assert.ok(held >= 0 && held < HELD_BYTES, `holds ${held} bytes`);
    assert.ok(conn.nextDeadline() > 0);
    if (conn.closeInfo !== null) continue; // the frame that broke a limit may have been counted
    assert.ok(conn.recovery.bytesInFlight >= 0);
    assert.ok(conn.streams.recvCredit.received <= conn.streams.recvCredit.advertised);
  }
}
