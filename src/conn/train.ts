/**
 * The common case of sending, in bulk: nothing but new stream data leaves, in packets that fill their datagrams. Then
 * the questions that `transmit` asks before each datagram are asked once for as many as all answers allow, runs of equal
 * packets are written in tight loops, and the sums are settled once.
 *
 * Invariant: a train is what `transmit` would have sent next, packet by packet, and leaves the same state; where that is
 * not certain the train ends, and `transmit`, which is the definition, goes on. So a train never finds out that nothing
 * may be sent any more, and no frame but STREAM, no FIN and no part of a packet is ever in it.
 */

import { varintEnd, varintLength } from "../base/varint.js";
import { writeStreamHeader } from "../frame/stream.js";
import { pnLength } from "../packet/number.js";
import { StreamRun } from "../packet/stream-run.js";
import { ECN_CAPABLE, ECN_TESTING } from "../path/ecn-check.js";
import { LEVEL_APP } from "../port/tls.js";
import { ECN_ECT0, ECN_NOT_ECT } from "../port/udp.js";
import { MIN_STREAM_PIECE_BYTES } from "../proto/limits.js";
import { SPACE_APP } from "../proto/space.js";
import type { Stream } from "../stream/stream.js";
import type { Connection } from "./connection.js";
import { onElicitingSent } from "./idle.js";

/** Packets that the key keeps: `transmit` closes the connection with the last of them (RFC 9001 §6.6). */
const SEALS_KEPT = 2;

const run = new StreamRun(); // valid during one sendTrain only

/** Appends a train of datagrams to the batch that the builder is bound to. Only 1-RTT keys may be there. */
export function sendTrain(conn: Connection, dest: number, nowMicros: number): void {
  if (!isPlain(conn)) return;
  const room = trainRoom(conn, nowMicros);
  if (room <= 0) return;
  const { streamOut, recovery } = conn;
  const { builder } = conn.host.bench;
  const sent = recovery.sent[SPACE_APP];
  const firstPn = sent.next;
  prepare(conn, dest, firstPn);
  let left = room;
  while (left > 0) {
    const stream = streamOut.freshHead();
    if (stream === null || !layRun(conn, stream, left)) break;
    builder.appendRun(run);
    sent.commitRun(run, nowMicros);
    streamOut.onRunSent(stream, run.packets * run.dataBytes, run.packets);
    run.firstPn += run.packets;
    left -= run.packets;
  }
  if (left < room) settle(conn, firstPn, room - left, nowMicros);
}

/** Whether a packet that is sent now has nothing but stream data to carry, and no padding. */
function isPlain(conn: Connection): boolean {
  const { recovery, streamOut } = conn;
  const space = conn.space(SPACE_APP);
  return (
    streamOut.freshHead() !== null &&
    !space.ackPolicy.hasNew &&
    space.nextPn === recovery.sent[SPACE_APP].next &&
    recovery.probes(SPACE_APP) === 0 &&
    recovery.ecn.state !== ECN_TESTING &&
    conn.path.validated &&
    conn.path.reservedBytes === 0 &&
    !conn.cryptoOut[SPACE_APP].hasPending &&
    !conn.datagrams.out.hasPending &&
    conn.control.isIdle
  );
}

/** Full datagrams that everything but the streams allows now. */
function trainRoom(conn: Connection, nowMicros: number): number {
  const { maxDatagramBytes } = conn.path;
  const space = conn.space(SPACE_APP);
  const room = Math.min(
    conn.host.bench.builder.roomFor(maxDatagramBytes),
    conn.recovery.datagramsAllowed(maxDatagramBytes, nowMicros),
    space.plainPackets,
    conn.keys.sealBudget(LEVEL_APP) - SEALS_KEPT,
  );
  const lastPn = space.nextPn + room - 1;
  return pnLength(lastPn, space.largestAcked) === pnLength(space.nextPn, space.largestAcked) ? room : 0;
}

/** Sets what is the same for all runs of a train. */
function prepare(conn: Connection, dest: number, firstPn: number): void {
  const { keys } = conn;
  const dcid = conn.peerIds.current;
  run.pnAt = 1 + dcid.length;
  run.pnBytes = pnLength(firstPn, conn.space(SPACE_APP).largestAcked);
  run.head[0] = conn.host.bench.builder.shortFirstByte(run.pnBytes, keys.keyPhase, 0);
  for (let i = 0; i < dcid.length; i++) run.head[1 + i] = dcid[i];
  run.keySlot = keys.writeKey(LEVEL_APP);
  run.hpSlot = keys.writeHp(LEVEL_APP);
  run.tagBytes = keys.appTagBytes;
  run.packetBytes = conn.path.maxDatagramBytes;
  run.dest = dest;
  run.ecn = conn.recovery.ecn.state === ECN_CAPABLE ? ECN_ECT0 : ECN_NOT_ECT;
  run.firstPn = firstPn;
}

/** Lays out the run of `stream`, at most `mostPackets` long. False when its next frame is not one that fills a packet. */
function layRun(conn: Connection, stream: Stream, mostPackets: number): boolean {
  const { streamOut } = conn;
  const { buffer } = stream.send!;
  const { memory, next } = buffer;
  if (next === 0) return false; // its frame has no offset field
  const headBytes = writeStreamHeader(run.head, run.pnAt + run.pnBytes, stream.id, next, -1, false);
  const dataBytes = run.packetBytes - headBytes - run.tagBytes;
  if (dataBytes < MIN_STREAM_PIECE_BYTES) return false;
  const packets = Math.min(
    mostPackets,
    streamOut.turnPackets(stream),
    Math.ceil(streamOut.freshBytes(stream) / dataBytes) - 1, // something is left to send after each of them
    Math.ceil((varintEnd(next) - next) / dataBytes),
  );
  if (packets <= 0) return false;
  run.headBytes = headBytes;
  run.packets = packets;
  run.streamId = stream.id;
  run.offset = next;
  run.offsetBytes = varintLength(next);
  run.dataBytes = dataBytes;
  run.source = memory;
  run.sourceStart = (next - Math.floor(next / memory.length) * memory.length) | 0; // % costs 20 ns on doubles
  return true;
}

function settle(conn: Connection, firstPn: number, packets: number, nowMicros: number): void {
  const { path, counters } = conn;
  const bytes = packets * run.packetBytes;
  conn.space(SPACE_APP).takePlain(packets);
  conn.keys.onSealed(LEVEL_APP, firstPn, packets);
  conn.recovery.onRunsSent(packets, run.packetBytes, nowMicros);
  counters.packetsSent += packets;
  counters.bytesSent += bytes;
  path.onDatagramSent(bytes);
  onElicitingSent(conn, nowMicros);
}
