/** RFC 9002 and RFC 9000 §13.4: round trips, loss, probes, congestion, ECN. What no peer sees is read from the connection. */

import assert from "node:assert/strict";
import { STREAM_BIDI } from "#src/port/transport.js";
import { ECN_CAPABLE, ECN_FAILED } from "#src/path/ecn-check.js";
import { ack, bytes, ints, PING, vi } from "../support/raw-frames.js";
import { APP, HANDSHAKE, INITIAL, type RawPeer, type ReadPacket } from "../raw/peer.js";
import type { App } from "./lab.js";
import { type Check, filled, isAcked } from "./check.js";
import { row } from "./scripts.js";

const NON_ELICITING = new Set(["ACK", "PADDING", "CONNECTION_CLOSE"]);
const MAX_DATAGRAM_BYTES = 1452;
/** docs/deviations.md, RFC 9002 §7.7. */
const BURST_PACKETS = 44;

function isEliciting({ frames }: ReadPacket): boolean {
  return frames.some(({ name }) => !NON_ELICITING.has(name));
}

const appPackets = (peer: RawPeer): ReadPacket[] => peer.packets.filter(({ level }) => level === APP);

/** Connected, everything acknowledged, with a stream that the peer gives room to. */
async function sender(check: Check): Promise<{ peer: RawPeer; app: App; id: number }> {
  const peer = await check.connect();
  const app = check.app(peer);
  const id = await app.open(STREAM_BIDI);
  peer.send(APP, ints(0x10, 1 << 30), ints(0x11, id, 1 << 30));
  await check.acknowledged(peer);
  await check.quiet(100);
  return { peer, app, id };
}

/** Application data of `count` bytes that is acknowledged after `delayMillis`. */
async function roundTrip(check: Check, peer: RawPeer, app: App, id: number, delayMillis: number): Promise<void> {
  peer.autoAck = false;
  const before = appPackets(peer).length;
  app.write(id, filled(100), false);
  await check.until(() => appPackets(peer).slice(before).some(isEliciting), "data");
  await check.lab.wait(delayMillis);
  peer.send(APP, peer.ackFrame(APP));
  await check.acknowledged(peer);
}

row("9002-5.1-01", async (check) => {
  const { peer, app } = await sender(check);
  peer.autoAck = false;
  const pn = peer.nextPn[2] as number;
  peer.send(APP, PING);
  await check.until(() => isAcked(peer, APP, pn), "an ACK");
  const last = appPackets(peer).at(-1) as ReadPacket;
  assert.ok(!isEliciting(last), "the last packet is an ACK alone");
  const before = app.conn.stats();
  await check.lab.wait(60);
  peer.send(APP, ack([last.pn, last.pn]));
  await check.quiet(10);
  const after = app.conn.stats();
  assert.equal(after.latestRttMicros, before.latestRttMicros);
  assert.equal(after.smoothedRttMicros, before.smoothedRttMicros);
});

row("9002-5.3-01", async (check) => {
  const { peer, app, id } = await sender(check);
  peer.autoAck = false;
  const sent = appPackets(peer).length;
  app.write(id, filled(100), false);
  await check.until(() => appPackets(peer).slice(sent).some(isEliciting), "data");
  const { pn: largest } = appPackets(peer).slice(sent).find(isEliciting) as ReadPacket; // not a probe that follows
  await check.lab.wait(150);
  const before = app.conn.stats().smoothedRttMicros;
  peer.send(APP, bytes(2, vi(largest), vi(10_000_000 / 8), vi(0), vi(0)));
  await check.until(() => app.conn.stats().smoothedRttMicros !== before, "a sample");
  const { latestRttMicros, smoothedRttMicros, minRttMicros } = app.conn.stats();
  const expected = (7 * before + latestRttMicros - 25_000) / 8;
  assert.ok(Math.abs(smoothedRttMicros - expected) < 500, `${smoothedRttMicros} us, expected ${expected}`);
  assert.ok(smoothedRttMicros >= minRttMicros);
});

row("9002-6.1.1-01", async (check) => {
  const { peer, app, id } = await sender(check);
  for (let i = 0; i < 6; i++) await roundTrip(check, peer, app, id, 80); // a long time threshold
  const lostBefore = app.conn.stats().packetsLost;
  let pns: number[] = [];
  // a number that was left out among them would be acknowledged, too: such a flight is settled, and another one sent
  for (let tries = 0; tries < 4 && (pns.length === 0 || (pns[3] as number) - (pns[0] as number) !== 3); tries++) {
    for (const pn of pns) peer.send(APP, ack([pn, pn]));
    const before = appPackets(peer).length;
    app.write(id, filled(8000), false);
    const data = (): ReadPacket[] => appPackets(peer).slice(before).filter(isEliciting);
    await check.until(() => data().length >= 6, "six packets");
    pns = data()
      .map(({ pn }) => pn)
      .slice(0, 6);
  }
  const [first, second, third, fourth] = pns as [number, number, number, number];
  // the second and third came, the first may be late
  peer.send(APP, ack([second, third]));
  await check.lab.until(() => app.conn.stats().bytesInFlight < 8000, 8);
  assert.equal(app.conn.stats().packetsLost, lostBefore, "two later ones: no loss");
  peer.send(APP, ack([second, fourth]));
  await check.until(() => app.conn.stats().packetsLost === lostBefore + 1, "the loss", 40);
  assert.ok(first < second);
});

row("9002-6.2-01", async (check) => {
  const { peer, app, id } = await sender(check);
  await roundTrip(check, peer, app, id, 30);
  const before = appPackets(peer).length;
  const lostBefore = app.conn.stats().packetsLost;
  const ptos = app.conn.stats().ptoCount;
  app.write(id, filled(500), false);
  await check.until(() => app.conn.stats().ptoCount >= ptos + 2, "two probe timeouts");
  assert.equal(app.conn.stats().packetsLost, lostBefore, "a timeout marks nothing lost");
  const sent = appPackets(peer).length - before;
  assert.ok(sent <= 6, `${sent} packets for one and two probe timeouts`);
  peer.send(APP, peer.ackFrame(APP));
  await check.acknowledged(peer);
  assert.equal(app.conn.stats().packetsLost, lostBefore, "all that was late had come");
});

/** Groups of ack-eliciting packets that came at once. */
function groups(packets: readonly ReadPacket[]): { atMicros: number; count: number }[] {
  const out: { atMicros: number; count: number }[] = [];
  for (const { atMicros } of packets.filter(isEliciting)) {
    const last = out.at(-1);
    if (last !== undefined && atMicros - last.atMicros < 5000) last.count++;
    else out.push({ atMicros, count: 1 });
  }
  return out;
}

async function probes(check: Check): Promise<{ atMicros: number; count: number }[]> {
  const { peer, app, id } = await sender(check);
  await roundTrip(check, peer, app, id, 40);
  await check.quiet(10);
  const before = appPackets(peer).length;
  const ptos = app.conn.stats().ptoCount;
  app.write(id, filled(500), false);
  await check.until(() => app.conn.stats().ptoCount >= ptos + 4, "four probe timeouts");
  await check.quiet(5);
  return groups(appPackets(peer).slice(before));
}

row("9002-6.2.1-01", async (check) => {
  const times = (await probes(check)).map(({ atMicros }) => atMicros);
  const gaps = times.slice(1).map((at, i) => at - (times[i] as number));
  assert.ok(gaps.length >= 3, `${gaps.length} gaps`);
  for (let i = check.inMemory ? 1 : 2; i < gaps.length; i++) {
    const ratio = (gaps[i] as number) / (gaps[i - 1] as number);
    assert.ok(ratio > 1.5 && ratio < 2.6, `gaps ${gaps.join(", ")} us`);
  }
  if (check.isServer) return;
  // no probe of application data before the handshake is confirmed
  const peer = await check.begin({ confirm: false });
  await check.until(() => peer.handshakeDone, "the handshake");
  const app = check.app(peer);
  await check.until(() => app.conn.handshake !== null, "the handshake at the client");
  peer.autoAck = false;
  await check.quiet(20);
  const id = await app.open(STREAM_BIDI);
  app.write(id, filled(100), false);
  await check.until(() => appPackets(peer).some(isEliciting), "data");
  await check.quiet(3);
  const before = appPackets(peer).filter(isEliciting).length; // its Finished may have a probe of its own
  await check.quiet(3000);
  assert.equal(appPackets(peer).filter(isEliciting).length, before);
});

row("9002-6.2.4-01", async (check) => {
  const [, ...timeouts] = await probes(check);
  for (const { count } of timeouts) assert.ok(count >= 1 && count <= 2, `${count} probes`);
});

row("9002-6.2.2.1-01", async (check) => {
  const peer = await check.begin({ autoTls: false });
  await check.until(() => peer.tlsOut.length > 0, "the ClientHello");
  const before = peer.packets.length;
  peer.flushTls(INITIAL); // the rest of the flight is lost
  await check.until(() => peer.packets.slice(before).some(isEliciting), "a probe");
  const probe = peer.packets.slice(before).find(isEliciting) as ReadPacket;
  assert.ok(probe.level === HANDSHAKE || probe.datagramBytes >= 1200, `${probe.datagramBytes} bytes`);
  peer.flushTls();
  await check.confirmed(peer);
});

row("9002-6.4-01", async (check) => {
  const peer = await check.connect();
  await check.acknowledged(peer);
  const app = check.app(peer);
  await check.until(() => app.conn.stats().bytesInFlight === 0, "an empty network");
});

/** Sends `count` bytes to a peer that acknowledges at once; `look` runs each time that the engine was. */
async function bulk(
  check: Check,
  peer: RawPeer,
  app: App,
  id: number,
  count: number,
  look?: () => void,
): Promise<void> {
  peer.autoAck = true;
  const before = peer.streams.get(id)?.data.length ?? 0;
  for (let sent = 0; sent < count; sent += 100_000) {
    app.write(id, filled(Math.min(100_000, count - sent)), false);
    const goal = before + Math.min(sent + 100_000, count);
    await check.until(() => {
      look?.();
      return (peer.streams.get(id)?.data.length ?? 0) >= goal;
    }, `${goal} bytes`);
  }
  peer.send(APP, peer.ackFrame(APP));
  await check.quiet(50);
}

row("9002-7-01", async (check) => {
  const { peer, app, id } = await sender(check);
  const look = (): void => {
    const { bytesInFlight, cwndBytes } = app.conn.stats();
    assert.ok(bytesInFlight <= cwndBytes + MAX_DATAGRAM_BYTES, `${bytesInFlight} bytes in a window of ${cwndBytes}`);
  };
  await bulk(check, peer, app, id, 400_000, look);
  // the window is a bound when nothing is acknowledged
  peer.autoAck = false;
  app.write(id, filled(1_500_000), false);
  await check.quiet(5);
  look();
  assert.ok(app.conn.stats().bytesInFlight > 10_000);
});

row("9002-7.7-01", async (check) => {
  const { peer, app, id } = await sender(check);
  await bulk(check, peer, app, id, 300_000);
  peer.autoAck = false;
  for (let i = 0; i < 12; i++) await roundTrip(check, peer, app, id, 60);
  const before = appPackets(peer).length;
  app.write(id, filled(500_000), false);
  await check.until(() => appPackets(peer).length > before, "data");
  const sent = appPackets(peer).slice(before).filter(isEliciting);
  const atOnce = sent.filter(({ atMicros }) => atMicros - (sent[0] as ReadPacket).atMicros < 500).length;
  assert.ok(atOnce <= BURST_PACKETS + (check.inMemory ? 0 : 10), `${atOnce} packets at once`);
});

row("9002-7.6.2-01", async (check) => {
  const { peer, app, id } = await sender(check);
  await bulk(check, peer, app, id, 200_000);
  await roundTrip(check, peer, app, id, 30);
  assert.ok(app.conn.stats().cwndBytes > 6 * MAX_DATAGRAM_BYTES);
  peer.autoAck = false;
  const { ptoCount: ptos, packetsLost } = app.conn.stats();
  app.write(id, filled(30_000), false);
  await check.until(() => app.conn.stats().ptoCount >= ptos + 4, "four probe timeouts");
  await check.lab.wait(15); // the last one's probe arrives
  const largest = Math.max(
    ...appPackets(peer)
      .filter(isEliciting)
      .map(({ pn }) => pn),
  );
  peer.send(APP, ack([largest, largest]));
  await check.until(() => app.conn.stats().packetsLost > packetsLost + 3, "loss");
  const { cwndBytes } = app.conn.stats();
  assert.ok(cwndBytes <= 3 * MAX_DATAGRAM_BYTES, `a window of ${cwndBytes} bytes`);
});

// --- ECN

/** Counts for all packets of a level: what came was marked, in memory one sees it. */
function marks(peer: RawPeer, level: number): number {
  return peer.packets.filter((packet) => packet.level === level).length;
}

/** Connected to a peer that reports marks until the path is known to be capable. */
async function capable(check: Check): Promise<{ peer: RawPeer; app: App; id: number }> {
  const peer = await check.begin();
  peer.ecnCounts = (level) => [marks(peer, level), 0, 0];
  await check.confirmed(peer);
  const app = check.app(peer);
  const id = await app.open(STREAM_BIDI);
  peer.send(APP, ints(0x10, 1 << 30), ints(0x11, id, 1 << 30));
  await bulk(check, peer, app, id, 30_000);
  assert.equal(app.conn.recovery.ecn.state, ECN_CAPABLE);
  if (check.inMemory) assert.equal(appPackets(peer).at(-1)?.ecn, 2, "ECT(0)");
  return { peer, app, id };
}

async function isOff(check: Check, peer: RawPeer, app: App, id: number): Promise<void> {
  await check.until(() => app.conn.recovery.ecn.state === ECN_FAILED, "ECN off");
  peer.ecnCounts = null;
  const before = appPackets(peer).length;
  await bulk(check, peer, app, id, 5000);
  const later = appPackets(peer).slice(before + 2);
  if (check.inMemory)
    assert.ok(
      later.every(({ ecn }) => ecn === 0),
      "no more marks",
    );
  await check.usable(peer);
}

row("9002-7.3.1-01", async (check) => {
  const { peer, app, id } = await capable(check);
  await bulk(check, peer, app, id, 100_000);
  const before = app.conn.stats().cwndBytes;
  const ceAfter = marks(peer, APP);
  let ce = 1;
  peer.ecnCounts = (level) => (level === APP ? [marks(peer, level) - ce, 0, ce] : [0, 0, 0]);
  await bulk(check, peer, app, id, 1000);
  const { cwndBytes, ssthreshBytes } = app.conn.stats();
  assert.ok(cwndBytes < before && cwndBytes >= 0.45 * before, `from ${before} to ${cwndBytes}`);
  assert.ok(ssthreshBytes < Infinity, "slow start is over");
  assert.ok(marks(peer, APP) > ceAfter);
  // a second mark of the same round trip does nothing more
  ce = 2;
  peer.send(APP, peer.ackFrame(APP));
  await check.quiet(5);
  assert.ok(app.conn.stats().cwndBytes >= cwndBytes);
});

row("9000-13.4.2.1-01", async (check) => {
  const { peer, app, id } = await capable(check);
  const frozen = marks(peer, APP);
  peer.ecnCounts = (level) => [level === APP ? frozen : 0, 0, 0];
  app.write(id, filled(20_000), false);
  await isOff(check, peer, app, id);
});

row("9000-13.4.2.1-02", async (check) => {
  for (const wrong of [2n ** 62n - 1n, 0n]) {
    const { peer, app, id } = await capable(check);
    peer.ecnCounts = (level) => [level === APP ? wrong : 0n, 0n, 0n];
    app.write(id, filled(20_000), false);
    await isOff(check, peer, app, id);
  }
});

row("9000-13.4.2.1-03", async (check) => {
  const { peer, app, id } = await capable(check);
  peer.autoAck = false;
  const older = peer.ackFrame(APP);
  peer.autoAck = true;
  await bulk(check, peer, app, id, 20_000);
  for (let i = 0; i < 5; i++) peer.send(APP, older);
  peer.send(APP, bytes(3, older.subarray(1, older.length - 3), 0, 0, 0));
  await check.quiet(10);
  assert.equal(app.conn.recovery.ecn.state, ECN_CAPABLE);
  await check.usable(peer);
});
