/** RFC 9000 §8.2 and §9: validation of paths, and peers that move, with raw peers of several addresses. */

import assert from "node:assert/strict";
import type { TransportStats } from "#src/port/transport.js";
import { STREAM_BIDI } from "#src/port/transport.js";
import {
  INITIAL_RTT_MICROS,
  MIN_INITIAL_DATAGRAM_BYTES,
  PATH_MOVE_MICROS,
  PATH_MOVES_BURST,
} from "#src/proto/limits.js";
import { bytes, ints, newConnectionId, pathChallenge, PING, vi } from "../support/raw-frames.js";
import type { Frame } from "../raw/frames.js";
import { APP, type RawPeer, type ReadPacket } from "../raw/peer.js";
import { type Check, filled } from "./check.js";
import type { App } from "./lab.js";
import { row } from "./scripts.js";

const FULL = MIN_INITIAL_DATAGRAM_BYTES;
const CHALLENGES_MEMORY = 500;
const CHALLENGES_UDP = 2 * PATH_MOVES_BURST;
const CHALLENGES_CLIENT_UDP = 20;
const SMALL_BYTES = 60;
const PROBING = new Set(["PATH_CHALLENGE", "PATH_RESPONSE", "NEW_CONNECTION_ID", "PADDING"]);

/** 1-RTT packets that came to an address of the peer. */
const packetsTo = (peer: RawPeer, address: number): ReadPacket[] =>
  peer.packets.filter(({ to, level }) => to === address && level === APP);

/** Frames of this name that came to an address of the peer. */
const framesTo = (peer: RawPeer, address: number, name: string): Frame[] =>
  packetsTo(peer, address).flatMap(({ frames }) => frames.filter((frame) => frame.name === name));

const bytesTo = (peer: RawPeer, address: number): number =>
  packetsTo(peer, address).reduce((sum, { datagramBytes }) => sum + datagramBytes, 0);

const dcidsTo = (peer: RawPeer, address: number): Set<string> =>
  new Set(packetsTo(peer, address).map(({ dcid }) => dcid.toString("hex")));

/** The answer to the challenge that came last to this address. */
function responseTo(peer: RawPeer, address: number): Uint8Array {
  const challenge = framesTo(peer, address, "PATH_CHALLENGE").at(-1);
  assert.ok(challenge !== undefined, "a challenge came");
  return bytes(0x1b, challenge.data);
}

const SPEAK_TRIES = 40;
const SPEAK_MILLIS = 400;

/** The peer speaks from `address` until that shows: an acknowledgement of its own from home may be newer (RFC 9000 §9.3). */
export async function speakFrom(
  check: Check,
  peer: RawPeer,
  address: number,
  condition: () => boolean,
  what: string,
): Promise<void> {
  for (let left = SPEAK_TRIES; left > 1; left--) {
    peer.sendFrom(address, peer.packet(APP, [PING], { padTo: FULL }));
    if (await check.lab.until(condition, SPEAK_MILLIS)) return;
  }
  await check.until(condition, what);
}

/** The peer goes to `address` and stays there; returns once it has been asked. */
async function move(check: Check, peer: RawPeer, address: number, dcid = peer.dcid): Promise<void> {
  const before = framesTo(peer, address, "PATH_CHALLENGE").length;
  peer.from = address;
  peer.dcid = dcid;
  peer.sendRaw(peer.packet(APP, [PING], { padTo: FULL }));
  await check.until(() => framesTo(peer, address, "PATH_CHALLENGE").length > before, "a challenge at the new address");
}

/** 1-RTT packets that came from an address of the engine's. */
const packetsFrom = (peer: RawPeer, engine: number): ReadPacket[] =>
  peer.packets.filter((packet) => packet.engine === engine && packet.level === APP);

const dcidsFrom = (peer: RawPeer, engine: number): Set<string> =>
  new Set(packetsFrom(peer, engine).map(({ dcid }) => dcid.toString("hex")));

/** The engine's client begins to move; its new address, once the question came from there. */
async function engineMoves(check: Check, peer: RawPeer, where: "port" | "host"): Promise<number> {
  const engine = await check.lab.moveEngine(peer, where);
  await check.until(() => challengeFrom(peer, engine) !== undefined, "a challenge from the new address");
  return engine;
}

const challengeFrom = (peer: RawPeer, engine: number): Frame | undefined =>
  packetsFrom(peer, engine)
    .flatMap(({ frames }) => frames)
    .findLast(({ name }) => name === "PATH_CHALLENGE");

/** The answer to the engine's challenge from its address `engine`, sent to address `to`. */
function answer(peer: RawPeer, engine: number, to = engine, padTo = FULL): void {
  const challenge = challengeFrom(peer, engine);
  assert.ok(challenge !== undefined);
  peer.engine = to;
  peer.sendRaw(peer.packet(APP, [bytes(0x1b, challenge.data)], { padTo }));
}

/** Ids of the engine's that the peer has not used yet. */
const freshIds = (peer: RawPeer): Uint8Array[] => peer.frames("NEW_CONNECTION_ID").map(({ data }) => data);

/** The peer gives `count` ids of its own, which the engine has when this returns. */
async function giveIds(check: Check, peer: RawPeer, count: number): Promise<void> {
  for (let seq = 1; seq <= count; seq++) giveId(peer, seq);
  await check.acknowledged(peer);
}

function giveId(peer: RawPeer, seq: number): void {
  peer.send(APP, newConnectionId(seq, 0, bytes(vi(seq, peer.scid.length as 8))));
}

/** A stream of the engine's that the peer gives room to. */
async function openWide(check: Check, peer: RawPeer): Promise<{ app: App; id: number }> {
  const app = check.app(peer);
  const id = await app.open(STREAM_BIDI);
  peer.send(APP, ints(0x10, 1 << 30), ints(0x11, id, 1 << 30));
  return { app, id };
}

// --- RFC 9000 §8.2.1

row(
  "9000-8.2.1-01",
  async (check) => {
    const peer = await check.connect();
    const other = await check.lab.addAddress(peer);
    const wanted = check.inMemory ? CHALLENGES_MEMORY : CHALLENGES_UDP;
    const all: string[] = [];
    while (all.length < wanted) {
      const bothCame = (): boolean => peer.frames("PATH_CHALLENGE").length >= 2;
      await speakFrom(check, peer, other, bothCame, "challenges to both addresses");
      all.push(...peer.frames("PATH_CHALLENGE").map(({ data }) => data.toString("hex")));
      peer.packets.length = 0;
      await check.acknowledged(peer); // which leads back home, so that the next packet is a move again
      if (check.inMemory) await check.quiet(PATH_MOVE_MICROS / 1000);
    }
    assert.equal(new Set(all).size, all.length);
    await check.usable(peer);
  },
  { role: "server" },
);

row(
  "9000-8.2.1-02",
  async (check) => {
    const peer = await check.connect();
    const other = await check.lab.addAddress(peer);
    const small = peer.packet(APP, [pathChallenge(7)], { padTo: SMALL_BYTES });
    assert.equal(small.length, SMALL_BYTES);
    peer.sendFrom(other, small);
    await check.until(() => framesTo(peer, other, "PATH_RESPONSE").length > 0, "PATH_RESPONSE");
    peer.from = other;
    peer.sendRaw(peer.packet(APP, [PING], { padTo: SMALL_BYTES }));
    await check.until(() => framesTo(peer, other, "PATH_CHALLENGE").length > 0, "PATH_CHALLENGE");
    peer.send(APP, responseTo(peer, other));
    const isFull = ({ datagramBytes, frames }: ReadPacket): boolean =>
      datagramBytes >= FULL && frames.some(({ name }) => name === "PATH_CHALLENGE");
    await check.until(() => packetsTo(peer, other).some(isFull), "a challenge of full size after the small answer");
    peer.send(APP, responseTo(peer, other));
    await check.until(() => check.app(peer).conn.stats().pathsValidated === 1, "validation");
    await check.usable(peer);
  },
  { role: "server" },
);

// --- RFC 9000 §8.2.2

row(
  "9000-8.2.2-03",
  async (check) => {
    const peer = await check.connect();
    const { app, id } = await openWide(check, peer);
    await check.acknowledged(peer);
    const other = await check.lab.addAddress(peer);
    peer.autoAck = false;
    await move(check, peer, other);
    app.write(id, filled(50_000), true);
    await check.quiet(50);
    assert.ok(bytesTo(peer, other) <= 3 * FULL, "as long as nobody has answered");
    peer.from = 0;
    peer.send(APP, responseTo(peer, other));
    peer.from = other;
    await check.until(() => bytesTo(peer, other) > 6 * FULL, "more than the limit of an address without proof");
    assert.equal(app.conn.stats().pathsValidated, 1);
    peer.autoAck = true;
    peer.send(APP, peer.ackFrame(APP));
    await check.usable(peer);
  },
  { role: "server" },
);

// --- RFC 9000 §9

row(
  "9000-9.3.3-01",
  async (check) => {
    const peer = await check.connect();
    const other = await check.lab.addAddress(peer);
    peer.autoAck = false;
    peer.sendFrom(other, peer.packet(APP, [PING], { padTo: FULL }));
    await check.until(() => framesTo(peer, 0, "PATH_CHALLENGE").length > 0, "a challenge at the address before");
    assert.ok(framesTo(peer, other, "PATH_CHALLENGE").length > 0);
    peer.autoAck = true;
    const before = peer.packets.length;
    await check.usable(peer);
    const led = peer.packets.slice(before).filter(({ to }) => to === 0);
    assert.ok(led.length > 0, "the answer from there leads back");
  },
  { role: "server" },
);

row(
  "9000-9.3.3-01",
  async (check) => {
    const peer = await check.connect();
    const before = peer.packets.length;
    peer.send(APP, pathChallenge(3));
    const answers = (): ReadPacket[] =>
      peer.packets.slice(before).filter(({ frames }) => frames.some(({ name }) => name === "PATH_RESPONSE"));
    await check.until(() => answers().length > 0, "PATH_RESPONSE");
    const shown = peer.packets.slice(before).flatMap(({ frames }) => frames.map(({ name }) => name));
    assert.ok(
      shown.some((name) => !PROBING.has(name)),
      "more than a probe, so that the server learns where its client is",
    );
    await check.usable(peer);
  },
  { role: "client" },
);

type Place = "port" | "host";

/** What is known of the path stays with another port and begins anew with another host. `go` returns what proves the new one. */
async function keepsThenForgets(
  check: Check,
  peer: RawPeer,
  ids: number,
  go: (where: Place) => Promise<() => void>,
): Promise<void> {
  const { app, id } = await openWide(check, peer);
  app.write(id, filled(400_000), true);
  await check.until(() => peer.streams.get(id)?.fin === true, "the data");
  await giveIds(check, peer, ids);
  const stats = (): TransportStats => app.conn.stats();
  const grown = stats().cwndBytes;
  const moved = async (where: Place, count: number): Promise<void> => {
    const prove = await go(where);
    peer.autoAck = false; // nothing that could grow the new window
    prove();
    await check.until(() => stats().pathsValidated === count, "validation");
  };
  await moved("port", 1);
  assert.ok(stats().cwndBytes >= grown, "another port is the same path");
  assert.notEqual(stats().smoothedRttMicros, INITIAL_RTT_MICROS);
  peer.autoAck = true;
  await check.usable(peer);
  await moved("host", 2);
  assert.ok(stats().cwndBytes < grown, `${stats().cwndBytes} bytes after ${grown}`);
  assert.equal(stats().smoothedRttMicros, INITIAL_RTT_MICROS);
  peer.autoAck = true;
  await check.usable(peer);
}

row(
  "9000-9.4-01",
  async (check) => {
    const peer = await check.connect();
    await keepsThenForgets(check, peer, 2, async (where) => {
      const address = await (where === "port" ? check.lab.addPort(peer) : check.lab.addAddress(peer));
      await move(check, peer, address);
      return () => peer.send(APP, responseTo(peer, address));
    });
  },
  { role: "server" },
);

row(
  "9000-9.5-01",
  async (check) => {
    const peer = await check.connect();
    await giveIds(check, peer, 2);
    const home = dcidsTo(peer, 0);
    const [first, second] = freshIds(peer) as [Uint8Array, Uint8Array];
    const [probed, taken] = [await check.lab.addAddress(peer), await check.lab.addAddress(peer)];
    peer.sendFrom(probed, peer.packet(APP, [pathChallenge(1)], { padTo: FULL, dcid: first }));
    await check.until(() => framesTo(peer, probed, "PATH_RESPONSE").length > 0, "PATH_RESPONSE");
    await move(check, peer, taken, second);
    peer.send(APP, responseTo(peer, taken));
    await check.usable(peer);
    const all = [0, probed, taken].map((address) => [...dcidsTo(peer, address)]);
    assert.deepEqual(all[0], [...home], "the address before has its own still");
    assert.equal(new Set(all.flat()).size, all.flat().length, "no id went to two addresses");
    assert.equal(all[2]?.length, 1);
  },
  { role: "server" },
);

// --- the same at a client, which moves by itself

row(
  "9000-8.2.1-01",
  async (check) => {
    const peer = await check.connect();
    const wanted = check.inMemory ? CHALLENGES_MEMORY : CHALLENGES_CLIENT_UDP;
    await giveIds(check, peer, 2);
    const all: string[] = [];
    for (let seq = 3; all.length < wanted; seq++) {
      // a move begins before the one before it has ended, which gives its id back
      const engine = await engineMoves(check, peer, "port");
      all.push(challengeFrom(peer, engine)?.data.toString("hex") as string);
      peer.packets.length = 0;
      giveId(peer, seq);
      await check.acknowledged(peer);
      await check.quiet(1); // time for the pacer: nothing else here takes any
    }
    assert.equal(new Set(all).size, all.length);
    await check.usable(peer);
  },
  { role: "client" },
);

row(
  "9000-8.2.1-02",
  async (check) => {
    const peer = await check.connect();
    const small = peer.packet(APP, [pathChallenge(7)], { padTo: SMALL_BYTES });
    assert.equal(small.length, SMALL_BYTES);
    peer.sendRaw(small);
    await check.until(() => peer.frames("PATH_RESPONSE").length > 0, "PATH_RESPONSE");
    await giveIds(check, peer, 2);
    answer(peer, await engineMoves(check, peer, "host"), undefined, SMALL_BYTES);
    await check.until(() => check.app(peer).conn.stats().pathsValidated === 1, "validation");
    await check.usable(peer);
  },
  { role: "client" },
);

row(
  "9000-8.2.2-03",
  async (check) => {
    const peer = await check.connect();
    await giveIds(check, peer, 2);
    const engine = await engineMoves(check, peer, "host");
    assert.ok(packetsFrom(peer, engine).every(({ frames }) => frames.every(({ name }) => PROBING.has(name))));
    answer(peer, engine, 0);
    const isMoved = (): boolean =>
      packetsFrom(peer, engine).some(({ frames }) => frames.some(({ name }) => !PROBING.has(name)));
    await check.until(isMoved, "more than probes from the new address");
    peer.engine = engine;
    await check.usable(peer);
  },
  { role: "client" },
);

row(
  "9000-9.4-01",
  async (check) => {
    const peer = await check.connect();
    await keepsThenForgets(check, peer, 3, async (where) => {
      const engine = await engineMoves(check, peer, where);
      return () => answer(peer, engine);
    });
  },
  { role: "client" },
);

row(
  "9000-9.5-01",
  async (check) => {
    const peer = await check.connect();
    await giveIds(check, peer, 3);
    const first = await engineMoves(check, peer, "host");
    answer(peer, first);
    await check.usable(peer);
    const second = await engineMoves(check, peer, "host"); // which nobody answers
    await check.usable(peer);
    const all = [0, first, second].map((engine) => [...dcidsFrom(peer, engine)]);
    assert.deepEqual(
      all.map(({ length }) => length),
      [1, 1, 1],
    );
    assert.equal(new Set(all.flat()).size, 3, "no id came from two addresses");
  },
  { role: "client" },
);
