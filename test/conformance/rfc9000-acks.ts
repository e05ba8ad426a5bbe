/** RFC 9000 §13 and §19.3, §19.15, §19.16: acknowledgements, and the frames of connection ids. */

import assert from "node:assert/strict";
import { STREAM_BIDI } from "#src/port/transport.js";
import { MAX_ACK_RANGES } from "#src/proto/limits.js";
import { ack, bytes, ints, newConnectionId, PING, vi } from "../support/raw-frames.js";
import { APP, HANDSHAKE, INITIAL, type RawPeer } from "../raw/peer.js";
import { type Check, filled, isAcked } from "./check.js";
import { idOf, newId } from "./rfc9000-handshake.js";
import { closes, closesEach, ignores, row } from "./scripts.js";

const ACK = 0x02;
const NEW_CONNECTION_ID = 0x18;
const RETIRE_CONNECTION_ID = 0x19;

const lastPn = (peer: RawPeer, level = APP): number =>
  Math.max(...peer.packets.filter((packet) => packet.level === level).map(({ pn }) => pn));

// --- RFC 9000 §13.1 --------------------------------------------------------------------------------------------------

closes("9000-13.1-01", ACK, (peer) => ack([lastPn(peer) + 1000, lastPn(peer) + 1000]));

/** Acknowledges, without looking, all of the last `span` numbers until the engine has had enough. */
async function acksBlindly(check: Check, span: number): Promise<void> {
  const peer = await check.connect();
  peer.send(APP, ints(0x10, 1 << 30));
  const app = check.app(peer);
  const id = await app.open(STREAM_BIDI);
  peer.send(APP, ints(0x11, id, 1 << 30));
  peer.autoAck = false;
  for (let round = 0; round < 400 && peer.closes.length === 0; round++) {
    const largest = lastPn(peer);
    if (app.conn.writable(id) > 200_000) app.write(id, filled(200_000), false);
    await check.until(() => lastPn(peer) > largest || peer.closes.length > 0, "data");
    peer.send(APP, ack([Math.max(0, lastPn(peer) - span), lastPn(peer)]));
  }
  await check.closes(peer, ACK);
}

row("9000-13.1-02", (check) => acksBlindly(check, Infinity));
row("9000-13.1-03", (check) => acksBlindly(check, 40));

row("9000-13.1-04", async (check) => {
  const peer = await check.begin({ autoTls: false, autoAck: false });
  if (check.isServer) peer.flushTls();
  await check.until(() => peer.packets.length > 0 && peer.tlsOut.length > 0, "an answer");
  peer.send(INITIAL, ack([50, 50]));
  await check.closes(peer, ACK);
});

row("9000-13.2.6-01", async (check) => {
  const peer = await check.begin({ autoTls: false, autoAck: false });
  if (check.isServer) peer.flushTls();
  await check.until(() => peer.packets.length > 0 && peer.tlsOut.length > 0, "an answer");
  if (!check.isServer) peer.flushTls(INITIAL);
  await check.quiet(5);
  peer.send(HANDSHAKE, ack([30, 30]));
  await check.closes(peer, ACK);
});

// --- RFC 9000 §13.2 --------------------------------------------------------------------------------------------------

row("9000-13.2.1-01", async (check) => {
  const peer = await check.connect();
  await check.acknowledged(peer);
  await check.lab.wait(80);
  const before = peer.datagrams.length;
  for (let i = 0; i < 100; i++) peer.send(APP, peer.ackFrame(APP));
  await check.quiet();
  assert.equal(peer.datagrams.length, before, "nothing comes back");
});

row("9000-13.2.1-02", async (check) => {
  const peer = await check.connect();
  await check.quiet();
  const before = peer.packets.length;
  const first = peer.nextPn[2] as number;
  for (let i = 0; i < 300; i++) peer.send(APP, PING);
  const sentAt = peer.nowMicros();
  await check.until(() => isAcked(peer, APP, first + 299), "the last ACK");
  const late = peer.nowMicros() - sentAt;
  assert.ok(late <= (check.inMemory ? 35_000 : 200_000), `acknowledged after ${late} us`);
  const acks = peer.packets.slice(before).filter(({ frames }) => frames.every(({ name }) => name === "ACK"));
  assert.ok(acks.length <= 300);
});

row("9000-13.2.3-01", async (check) => {
  const peer = await check.connect();
  for (let i = 0; i < 2000; i++) peer.sendRaw(peer.packet(APP, [PING], { pn: 1000 + 2 * i }));
  peer.nextPn[2] = 6000;
  await check.acknowledged(peer);
  const most = Math.max(...peer.frames("ACK", APP).map(({ ranges }) => ranges.length));
  assert.ok(most > 1 && most <= MAX_ACK_RANGES, `${most} ranges in one ACK`);
  await check.usable(peer);
});

// --- RFC 9000 §19.3 --------------------------------------------------------------------------------------------------

closes("9000-19.3-01", ACK, () => bytes(ACK, vi(100), vi(0), vi(2 ** 32 - 1), vi(0), vi(0), vi(0), vi(0), vi(0)));

row("9000-19.3-02", async (check) => {
  const peer = await check.connect({ params: (list) => [...list, [0x0a, vi(20)]] });
  await check.usable(peer);
  const pn = lastPn(peer);
  peer.autoAck = false;
  const app = check.app(peer);
  const id = await app.open(STREAM_BIDI);
  app.write(id, filled(10), false);
  await check.until(() => lastPn(peer) > pn, "a packet");
  const largest = lastPn(peer);
  peer.send(APP, bytes(ACK, vi(largest), vi(2n ** 62n - 1n), vi(0), vi(0)));
  await check.quiet(50);
  peer.autoAck = true;
  await check.usable(peer);
  const { smoothedRttMicros, minRttMicros } = app.conn.stats();
  assert.ok(smoothedRttMicros >= minRttMicros && smoothedRttMicros < 2_000_000, `${smoothedRttMicros} us`);
});

closes("9000-19.3.1-01", ACK, () => bytes(ACK, vi(5), vi(0), vi(0), vi(6)));
closes("9000-19.3.1-02", ACK, () => bytes(ACK, vi(10), vi(0), vi(1), vi(0), vi(20), vi(0)));
closes("9000-19.3.2-01", 0x03, () => bytes(0x03, vi(0), vi(0), vi(0), vi(0)));

// --- RFC 9000 §19.15, RFC 9000 §19.16 --------------------------------------------------------------------------------

closes("9000-19.15-01", NEW_CONNECTION_ID, () => newId(1, 11));
closes("9000-19.15-02", NEW_CONNECTION_ID, () => newId(1, 0, new Uint8Array(0)));
closesEach("9000-19.15-03", NEW_CONNECTION_ID, [
  () => newId(1, 0, filled(21)),
  () => bytes(NEW_CONNECTION_ID, vi(1), vi(0), 255, filled(255), filled(16)),
]);

row("9000-19.15-04", async (check) => {
  const peer = await check.connect({ scid: new Uint8Array(0) });
  peer.send(APP, newId(1, 0));
  await check.closes(peer, NEW_CONNECTION_ID);
});

closesEach("9000-19.15-05", NEW_CONNECTION_ID, [
  () => [newId(1, 0), newId(2, 0, idOf(1))],
  () => [newId(1, 0), newId(1, 0, idOf(2))],
  () => [newId(1, 0), newConnectionId(1, 0, idOf(1), filled(16))],
]);

ignores("9000-19.15-06", () => Array.from({ length: 10 }, () => newId(1, 0)));

row("9000-19.15-07", async (check) => {
  const peer = await check.connect();
  peer.send(APP, newId(5, 5));
  peer.send(APP, newId(2, 0));
  const retired = (): bigint[] => peer.frames("RETIRE_CONNECTION_ID").map(({ values }) => values[0] as bigint);
  await check.until(() => retired().includes(2n), "RETIRE_CONNECTION_ID of 2");
  await check.usable(peer);
});

ignores("9000-19.15-08", () => [newId(5, 5), newId(6, 3)]);

closes("9000-19.16-01", RETIRE_CONNECTION_ID, () => ints(RETIRE_CONNECTION_ID, 1000));
closes("9000-19.16-02", RETIRE_CONNECTION_ID, () => ints(RETIRE_CONNECTION_ID, 0));

row("9000-19.16-03", async (check) => {
  // this endpoint never chooses an empty id, so what remains is: an id that it never issued
  const peer = await check.connect();
  assert.ok(peer.dcid.length > 0, "the engine's ids are not empty");
  const issued = peer.frames("NEW_CONNECTION_ID").length;
  peer.send(APP, ints(RETIRE_CONNECTION_ID, issued + 1));
  await check.closes(peer, RETIRE_CONNECTION_ID);
});

row("9000-10.3.2-01", async (check) => {
  const peer = await check.connect();
  peer.send(APP, newConnectionId(1, 0, idOf(1), filled(16)));
  peer.send(APP, newConnectionId(2, 0, idOf(2), filled(16)));
  await check.closes(peer, NEW_CONNECTION_ID);
});
