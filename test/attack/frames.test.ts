import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "#src/conn/connection.js";
import { FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION } from "#src/proto/transport-error.js";
import { Arena } from "../support/arena.js";
import { bytes, padding, PING, sample, vi } from "../support/raw-frames.js";
import { Bystander, LEVEL_APP, LEVEL_HANDSHAKE, LEVEL_INITIAL, RawPeer } from "../support/raw-peer.js";

const ROLES = ["server", "client"] as const;
type Role = (typeof ROLES)[number];
const LEVELS = [LEVEL_INITIAL, LEVEL_HANDSHAKE, LEVEL_APP] as const;
type TestLevel = (typeof LEVELS)[number];
const LEVEL_NAMES = { [LEVEL_INITIAL]: "Initial", [LEVEL_HANDSHAKE]: "Handshake", [LEVEL_APP]: "1-RTT" };

/** RFC 9000 §12.4 table 3, written down again: types that Initial and Handshake packets may carry. */
const EARLY_TYPES = [0x00, 0x01, 0x02, 0x03, 0x06, 0x1c];
/** Frames that only a server sends. */
const SERVER_TYPES = [0x07, 0x1e];
const ACKS = [0x02, 0x03];

/** A peer of the endpoint whose keys of `level` work in both directions, and which the endpoint still reads. */
function peerAt(arena: Arena, role: Role, level: TestLevel): { peer: RawPeer; conn: Connection } {
  const peer = new RawPeer(arena, { isServer: role === "client" });
  if (role === "client") arena.connect(peer);
  if (level === LEVEL_INITIAL) {
    peer.hello();
    if (role === "client") peer.takeTlsPackets();
  } else if (level === LEVEL_HANDSHAKE) {
    peer.hello();
    peer.pumpTls();
    peer.validated = true;
  } else peer.connect();
  peer.forget();
  const conn = arena.conns.at(-1);
  assert.ok(conn !== undefined);
  return { peer, conn };
}

/** For a client at Initial: the server's hello is held back, so that Initial keys are still there. */
function initialPeer(arena: Arena, role: Role): { peer: RawPeer; conn: Connection } {
  if (role === "server") return peerAt(arena, role, LEVEL_INITIAL);
  const peer = new RawPeer(arena, { isServer: true, editTls: () => null });
  arena.connect(peer);
  const conn = arena.conns.at(-1);
  assert.ok(conn !== undefined);
  return { peer, conn };
}

function handshakePeer(arena: Arena, role: Role): { peer: RawPeer; conn: Connection } {
  if (role === "server") return peerAt(arena, role, LEVEL_HANDSHAKE);
  // only the ServerHello goes out: the client reads Handshake packets and waits for more
  const peer = new RawPeer(arena, {
    isServer: true,
    editTls: (level, message) => (level === LEVEL_INITIAL ? message : null),
  });
  arena.connect(peer);
  peer.hello();
  peer.forget();
  const conn = arena.conns.at(-1);
  assert.ok(conn !== undefined);
  return { peer, conn };
}

function prepare(arena: Arena, role: Role, level: TestLevel): { peer: RawPeer; conn: Connection } {
  if (level === LEVEL_INITIAL) return initialPeer(arena, role);
  return level === LEVEL_HANDSHAKE ? handshakePeer(arena, role) : peerAt(arena, role, level);
}

/** Sends one packet with these payload bytes and returns the code that the peer reads, -1 for none. */
function verdict(role: Role, level: TestLevel, payload: Uint8Array, firstByte = 0): number {
  const arena = new Arena();
  const bystander = role === "server" ? new Bystander(arena) : null;
  const { peer, conn } = prepare(arena, role, level);
  const packet = peer.packet(level, [payload], { firstByte, padTo: 1 });
  // what follows an Initial fills the datagram (RFC 9000 §14.1) and is no packet
  peer.sendPackets(packet, padding(level === LEVEL_INITIAL ? 1200 - packet.length : 0));
  const code = peer.closeCode;
  if (conn.closeInfo?.remote !== true) assert.equal(Number(conn.closeInfo?.code ?? -1), code);
  bystander?.assertServed();
  arena.assertCleanEnd();
  return code;
}

function allowedAt(role: Role, level: TestLevel, type: number): boolean {
  // the client has sent nothing in Handshake packets yet that an ACK could be about (RFC 9000 §13.1)
  if (role === "client" && level === LEVEL_HANDSHAKE && ACKS.includes(type)) return false;
  if (level !== LEVEL_APP) return EARLY_TYPES.includes(type);
  return role === "client" || !SERVER_TYPES.includes(type);
}

describe("RFC 9000 §12.4 table 3, T35, 9000-12.4-06 to 12, 9000-19.7-01, 9000-19.20-01", () => {
  for (const role of ROLES) {
    for (const level of LEVELS) {
      test(`frames in ${LEVEL_NAMES[level]} packets at a ${role}`, () => {
        const wrong: string[] = [];
        for (const type of [...Array(0x20).keys(), 0xaf]) {
          const code = verdict(role, level, sample(type, role === "server" ? 0 : 1));
          const expected = allowedAt(role, level, type) ? -1 : PROTOCOL_VIOLATION;
          if (code !== expected) wrong.push(`0x${type.toString(16)}: ${code}, not ${expected}`);
        }
        assert.deepEqual(wrong, []);
      });
    }
  }
});

describe("RFC 9000 §12.4 what is no frame", () => {
  for (const role of ROLES) {
    for (const level of LEVELS) {
      const name = `${LEVEL_NAMES[level]} at a ${role}`;
      test(`9000-12.4-01 a packet without frames: ${name}`, () => {
        assert.equal(verdict(role, level, new Uint8Array(0)), PROTOCOL_VIOLATION);
      });
      test(`9000-12.4-02, 9000-12.4-04 unknown and cut types: ${name}`, () => {
        for (const type of [[0x20], [0x21], [0x40, 0xff], vi(2n ** 62n - 1n), vi(0x3fff), [0x32]]) {
          assert.equal(verdict(role, level, bytes(type)), FRAME_ENCODING_ERROR);
        }
        for (const cut of [[0x40], [0x80, 0], [0xc0, 0, 0, 0, 0, 0, 0]]) {
          assert.equal(verdict(role, level, bytes(PING, cut)), FRAME_ENCODING_ERROR);
        }
      });
      test(`9000-12.4-03 a type in a longer form: ${name}`, () => {
        for (const length of [2, 4, 8] as const) {
          assert.equal(verdict(role, level, vi(1, length)), PROTOCOL_VIOLATION);
        }
      });
    }
    for (const level of LEVELS) {
      test(`9000-17.2-03, 9000-17.2-04, 9000-17.3.1-02 reserved bits in ${LEVEL_NAMES[level]} at a ${role}`, () => {
        for (const bits of level === LEVEL_APP ? [0x08, 0x10, 0x18] : [0x04, 0x08, 0x0c]) {
          assert.equal(verdict(role, level, PING, bits), PROTOCOL_VIOLATION);
        }
      });
    }
  }
});

describe("RFC 9000 §19.19 a CONNECTION_CLOSE names the very type of the frame that caused it", () => {
  for (const role of ROLES) {
    const theirs = role === "server" ? 2 : 3; // beyond the limit of streams that only the peer writes
    const id = theirs + 4 * 2000;
    const cases: [string, Uint8Array][] = [
      ...[0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f].map((type): [string, Uint8Array] => [
        `STREAM 0x${type.toString(16)}`,
        sample(type, id),
      ]),
      ["ACK 0x02", bytes(2, vi(9999), vi(0), vi(0), vi(0))],
      ["ACK 0x03", bytes(3, vi(9999), vi(0), vi(0), vi(0), vi(0), vi(0), vi(0))],
      ["DATAGRAM 0x30", bytes(0x30, padding(1250))],
      ["DATAGRAM 0x31", bytes(0x31, vi(1250), padding(1250))],
    ];
    for (const [name, frame] of cases) {
      test(`${name} at a ${role}`, () => {
        const arena = new Arena();
        const { peer } = peerAt(arena, role, LEVEL_APP);
        peer.sendPackets(peer.packet(LEVEL_APP, [PING, frame]));
        assert.deepEqual(
          peer.closes.map(({ frameType }) => frameType),
          [frame[0]],
        );
        arena.assertCleanEnd();
      });
    }
  }
});
