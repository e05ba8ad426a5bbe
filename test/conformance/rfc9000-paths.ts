/** RFC 9000 §8.1.4, §8.2, §9 and §14.2: tokens of other addresses, paths, migration, ICMP. */

import assert from "node:assert/strict";
import { STREAM_BIDI } from "#src/port/transport.js";
import { bytes, ints, pathChallenge, PING, stream } from "../support/raw-frames.js";
import { P_DISABLE_MIGRATION, P_PREFERRED_ADDRESS } from "../raw/params.js";
import { APP, type RawPeer, type ReadPacket } from "../raw/peer.js";
import { type Check, filled } from "./check.js";
import type { App } from "./lab.js";
import { goOn } from "./rfc9000-handshake.js";
import { speakFrom } from "./rfc9000-moves.js";
import { row } from "./scripts.js";

export const LARGE_CHAIN = { setup: { chainBytes: 10_000 } };

/** What came to an address of the peer. */
const bytesTo = (peer: RawPeer, address: number): number =>
  peer.packets.filter(({ to }) => to === address).reduce((sum, { datagramBytes }) => sum + datagramBytes, 0);

// --- RFC 9000 §8.1.4

/** A NEW_TOKEN token of the engine. */
export async function newToken(check: Check): Promise<Buffer> {
  const peer = await check.connect();
  await check.until(() => peer.frames("NEW_TOKEN").length > 0, "NEW_TOKEN");
  return Buffer.from(peer.frames("NEW_TOKEN")[0]?.data as Buffer);
}

/** A client that sends one Initial with this token and is silent then; what it got for it. */
export async function bytesFor(
  check: Check,
  token: Buffer,
  fromOther: boolean,
  version = check.version,
): Promise<{ got: number; sent: number }> {
  const peer = await check.peer({ token, autoTls: false, autoAck: false, version });
  if (fromOther) peer.from = await check.lab.addAddress(peer);
  peer.hello();
  peer.flushTls();
  await check.lab.until(() => peer.bytes.received > 3 * peer.bytes.sent, check.inMemory ? 3000 : 150);
  return { got: peer.bytes.received, sent: peer.bytes.sent };
}

row(
  "9000-8.1.4-01",
  async (check) => {
    const token = await newToken(check);
    const other = await bytesFor(check, token, true);
    assert.ok(other.got > 0 && other.got <= 3 * other.sent, `${other.got} bytes for ${other.sent}`);
    const own = await bytesFor(check, token, false);
    assert.ok(own.got > 3 * own.sent, "at its own address it validates");
  },
  LARGE_CHAIN,
);

row(
  "9000-8.1.4-02",
  async (check) => {
    const token = await newToken(check);
    let validated = 0;
    for (let i = 0; i < (check.inMemory ? 30 : 6); i++) {
      const { got, sent } = await bytesFor(check, token, false);
      if (got > 3 * sent) validated++;
    }
    assert.equal(validated, 1);
  },
  LARGE_CHAIN,
);

// --- RFC 9000 §8.2

row("9000-8.2.2-02", async (check) => {
  const peer = await check.connect();
  peer.send(APP, pathChallenge(5));
  await check.until(() => peer.frames("PATH_RESPONSE").length > 0, "PATH_RESPONSE");
  const response = peer.packets.find(({ frames }) => frames.some(({ name }) => name === "PATH_RESPONSE")) as ReadPacket;
  assert.ok(response.datagramBytes >= 1200, `${response.datagramBytes} bytes`);
  const other = await check.lab.addAddress(peer);
  const small = peer.packet(APP, [pathChallenge(6)], { padTo: 60 });
  peer.sendFrom(other, small);
  await check.quiet(200);
  assert.ok(bytesTo(peer, other) <= 3 * small.length, `${bytesTo(peer, other)} bytes to an address without proof`);
  await check.usable(peer);
});

// --- RFC 9000 §9

row("9000-9-01", async (check) => {
  const peer = await check.begin({ autoTls: false, autoAck: false });
  peer.flushTls();
  await check.until(() => peer.tlsOut.length > 0, "the server's flight");
  const other = await check.lab.addAddress(peer);
  const flight = peer.takeTlsPackets();
  await check.dropped("other-address", () => peer.sendFrom(other, ...flight));
  await check.quiet(50);
  assert.equal(bytesTo(peer, other), 0);
  assert.ok(!check.app(peer).conn.handshake, "the handshake does not go on from there");
  peer.sendRaw(...flight);
  await goOn(check, peer);
});

/** Downloads while `act` happens in the middle; everything arrives at the peer's first address. */
async function download(
  check: Check,
  act: (peer: RawPeer, other: number) => void,
): Promise<{ peer: RawPeer; other: number }> {
  const peer = await check.connect();
  const app = check.app(peer);
  const id = await app.open(STREAM_BIDI);
  peer.send(APP, ints(0x10, 1 << 30), ints(0x11, id, 1 << 30));
  const other = await check.lab.addAddress(peer);
  const received = (): number => peer.streams.get(id)?.data.length ?? 0;
  app.write(id, filled(150_000), false);
  await check.until(() => received() >= 20_000, "the first part");
  act(peer, other);
  app.write(id, filled(150_000), true);
  await check.until(() => received() === 300_000, "the rest", 60_000);
  return { peer, other };
}

row("9000-9.3-01", async (check) => {
  let late: Buffer = Buffer.alloc(0);
  const peer = await check.connect();
  late = peer.packet(APP, [stream(peer.ownBidi(9), 0, filled(5))]);
  await check.acknowledged(peer);
  const other = await check.lab.addAddress(peer);
  peer.sendFrom(other, late);
  await check.quiet(50);
  const before = peer.packets.length;
  await check.usable(peer);
  assert.ok(
    peer.packets.slice(before).every(({ to }) => to === 0),
    "an older packet moves nothing",
  );
});

row("9000-9.3.1-01", async (check) => {
  let spoofed = 0;
  const { peer, other } = await download(check, (raw, address) => {
    const packet = raw.packet(APP, [PING], { padTo: 40 });
    spoofed = packet.length;
    raw.sendFrom(address, packet);
  });
  assert.ok(bytesTo(peer, other) <= 3 * spoofed, `${bytesTo(peer, other)} bytes for ${spoofed}`);
});

row("9000-9.3.2-01", async (check) => {
  const { peer } = await download(check, (raw, address) => {
    for (let i = 0; i < 3; i++) raw.sendFrom(address, raw.packet(APP, [PING], { padTo: 1200 }));
  });
  const before = peer.packets.length;
  await check.usable(peer);
  assert.ok(peer.packets.slice(before).every(({ to }) => to === 0));
});

row(
  "9000-9.3.2-02",
  async (check) => {
    const peer = await check.connect();
    const app: App = check.app(peer);
    const other = await check.lab.addAddress(peer);
    peer.autoAck = false;
    peer.sendFrom(other, peer.packet(APP, [PING], { padTo: 1200 }));
    const id = await app.open(STREAM_BIDI);
    app.write(id, filled(100), false);
    await check.until(() => app.error !== undefined, "the end", 60_000);
    assert.equal(app.error?.remote, true);
    assert.deepEqual(peer.closes, [], "in silence");
  },
  { setup: { config: { maxIdleTimeoutMillis: 1000 } } },
);

row("9000-9-02", async (check) => {
  const peer = await check.connect();
  assert.ok(!peer.peerParams.has(P_DISABLE_MIGRATION), "the server lets its clients move");
  const other = await check.lab.addAddress(peer);
  await speakFrom(check, peer, other, () => bytesTo(peer, other) > 0, "a challenge");
  assert.equal(peer.unread.length, 0, "no stateless reset");
  await check.usable(peer);
});

row("9000-9-03", async (check) => {
  const peer = await check.connect();
  const other = await check.lab.addAddress(peer);
  const id = peer.ownBidi(7);
  const packet = peer.packet(APP, [stream(id, 0, filled(5))]);
  await check.dropped("other-address", () => peer.sendFrom(other, packet));
  await check.quiet(50);
  assert.equal(check.app(peer).received.get(id), undefined);
  assert.equal(bytesTo(peer, other), 0);
  await check.usable(peer);
});

row("9000-9.5-02", async (check) => {
  // no NEW_CONNECTION_ID was sent, so the engine has no spare for another path
  const peer = await check.connect();
  const other = await check.lab.addAddress(peer);
  for (let i = 0; i < 3; i++) peer.sendFrom(other, peer.packet(APP, [PING], { padTo: 1200 }));
  await check.quiet(200);
  const ids = (address: number): Set<string> =>
    new Set(
      peer.packets.filter(({ to, level }) => to === address && level === APP).map(({ dcid }) => dcid.toString("hex")),
    );
  const shared = [...ids(other)].filter((id) => ids(0).has(id));
  if (check.isServer)
    assert.ok(shared.length === 0 || bytesTo(peer, other) > 0); // RFC 9000 §9.5: a NAT rebinding may
  else assert.equal(bytesTo(peer, other), 0);
  await check.usable(peer);
});

row("9000-9.6-01", async (check) => {
  const silent = bytes([127, 0, 0, 1], [0, 9], new Uint8Array(18), 8, filled(8), filled(16, 0x62));
  const peer = await check.connect({ params: (list) => [...list, [P_PREFERRED_ADDRESS, silent]] });
  await check.usable(peer);
  await check.quiet(1000);
  await check.usable(peer);
});

// --- RFC 9000 §14.2

/** Connected, with enough sent that the path is known. */
async function sending(check: Check): Promise<{ peer: RawPeer; app: App; id: number }> {
  const peer = await check.connect();
  const app = check.app(peer);
  const id = await app.open(STREAM_BIDI);
  peer.send(APP, ints(0x10, 1 << 30), ints(0x11, id, 1 << 30));
  await sends(check, peer, app, id, 200_000);
  return { peer, app, id };
}

async function sends(check: Check, peer: RawPeer, app: App, id: number, count: number): Promise<void> {
  const goal = (peer.streams.get(id)?.data.length ?? 0) + count;
  app.write(id, filled(count), false);
  await check.until(() => (peer.streams.get(id)?.data.length ?? 0) >= goal, `${goal} bytes`);
}

row("9000-14.2.1-01", async (check) => {
  const { peer, app, id } = await sending(check);
  for (const mtu of [68, 576, 1199]) check.lab.icmpTooBig(peer, 0, mtu);
  const before = peer.packets.length;
  await sends(check, peer, app, id, 50_000);
  assert.ok(app.conn.path.maxDatagramBytes >= 1200);
  const full = peer.packets.slice(before).filter(({ datagramBytes }) => datagramBytes >= 1200);
  assert.ok(full.length > 20, "datagrams are not smaller than 1200 bytes");
  await check.usable(peer);
});

row("9000-14.2.1-02", async (check) => {
  const { peer, app, id } = await sending(check);
  const other = await check.lab.addAddress(peer);
  const before = app.conn.path.maxDatagramBytes;
  check.lab.icmpTooBig(peer, other, 1300);
  check.lab.icmpTooBig(peer, 0, 9000);
  const sent = peer.packets.length;
  await sends(check, peer, app, id, 50_000);
  assert.ok(app.conn.path.maxDatagramBytes >= before, "an address that is not ours to talk to says nothing");
  const largest = Math.max(...peer.packets.slice(sent).map(({ datagramBytes }) => datagramBytes));
  assert.ok(largest <= Math.max(before, 1500), `${largest} bytes: it raises nothing`);
  await check.usable(peer);
});
