/** RFC 9001: TLS in CRYPTO frames, packet protection, key updates. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { STREAM_BIDI } from "#src/port/transport.js";
import { type Part, ack, bytes, crypto, ints, PING, stream } from "../support/raw-frames.js";
import { makeRawCertificate } from "../raw/certificate.js";
import { APP, EARLY, HANDSHAKE, INITIAL, type RawPeer, type RawPeerOptions } from "../raw/peer.js";
import {
  CERTIFICATE,
  CLIENT_HELLO,
  ENCRYPTED_EXTENSIONS,
  EXT_KEY_SHARE,
  EXT_QUIC_PARAMS,
  EXT_SUPPORTED_GROUPS,
  EXT_SUPPORTED_VERSIONS,
  type Extension,
  FINISHED,
  message,
  SERVER_HELLO,
  u16,
  vec,
} from "../raw/tls-messages.js";
import { certificateRequest } from "../raw/tls-server.js";
import { type Check, filled, isAcked } from "./check.js";
import { rawCa, rawLeaf } from "./lab.js";
import { goOn } from "./rfc9000-handshake.js";
import { closes, refuses, row } from "./scripts.js";

const CRYPTO = 0x06;
const KEY_UPDATE_MESSAGE = Buffer.of(24, 0, 0, 1, 1);

/** One message changed on its way, in whichever role the raw peer is. */
function editing(type: number, edit: (bytes: Buffer) => Buffer | null): RawPeerOptions {
  const both = { edit: (sent: number, whole: Buffer) => (sent === type ? edit(whole) : whole) };
  return { client: both, server: both };
}

/** Extensions of the ClientHello or of EncryptedExtensions changed. */
function extending(edit: (list: Extension[]) => Extension[]): RawPeerOptions {
  return { client: { extensions: edit }, server: { extensions: edit } };
}

const without = (list: Extension[], id: number): Extension[] => list.filter(([type]) => type !== id);
const append =
  (...parts: Part[]): ((whole: Buffer) => Buffer) =>
  (whole) =>
    Buffer.from(bytes(whole, ...parts));

function flipLast(whole: Buffer): Buffer {
  const out = Buffer.from(whole);
  out[out.length - 1] = (out[out.length - 1] as number) ^ 1;
  return out;
}

/** As both sides are after the first flight of the server, with keys of the level. */
async function upTo(check: Check, level: number): Promise<RawPeer> {
  const peer = await check.begin({ autoTls: false, autoAck: false });
  if (check.isServer) peer.flushTls();
  await check.until(() => peer.tlsOut.length > 0, "TLS messages");
  if (!check.isServer && level !== INITIAL) peer.flushTls(INITIAL);
  return peer;
}

// --- RFC 9001 §4.1 to §4.4

row("9001-4.1.3-01", async (check) => {
  const peer = await upTo(check, INITIAL);
  // in one datagram, so that the engine has not sent anything at the new level yet
  const initial: Uint8Array[] = [];
  if (!check.isServer) {
    const [hello] = peer.tlsOut as unknown as [{ bytes: Buffer }];
    peer.tlsOut.shift();
    initial.push(peer.packet(INITIAL, [peer.cryptoFrame(INITIAL, hello.bytes)], { padTo: 400 }));
  }
  const extra = peer.cryptoFrame(INITIAL, Buffer.of(8, 0, 0, 2, 0, 0));
  const late = peer.packet(INITIAL, [extra], { padTo: check.isServer ? 1200 : 400 });
  peer.sendRaw(...initial, late);
  await check.closes(peer, CRYPTO);
});

row("9001-4.1.3-02", async (check) => {
  const more = check.isServer
    ? editing(CLIENT_HELLO, append(CLIENT_HELLO, 0))
    : editing(SERVER_HELLO, append(SERVER_HELLO, 0));
  const peer = await check.begin(more);
  await check.closes(peer);
});

row("9001-4.2-01", async (check) => {
  const old: RawPeerOptions[] = check.isServer
    ? [extending((list) => [...without(list, EXT_SUPPORTED_VERSIONS), [EXT_SUPPORTED_VERSIONS, vec(1, u16(0x0303))]])]
    : [{ server: { version: null } }];
  for (const options of old) await check.closes(await check.begin(options));
});

row("9001-4.3-01", async (check) => {
  for (const size of [1500, 7700]) {
    const peer = await check.connect(extending((list) => [...list, [21, Buffer.alloc(size)]]));
    await check.usable(peer);
  }
});

row("9001-4.4-01", async (check) => {
  const issuer = rawCa();
  const foreign = makeRawCertificate({ subject: "another authority", isCa: true });
  const hosts = ["localhost"];
  const bad: [chain: ReturnType<typeof rawCa>[], code: number][] = [
    [[makeRawCertificate({ subject: "localhost", hosts })], 0x130],
    [[makeRawCertificate({ subject: "localhost", hosts, issuer: foreign }), foreign], 0x130],
    [[makeRawCertificate({ subject: "localhost", hosts, issuer, notAfterDays: -1 }), issuer], 0x12d],
    [[makeRawCertificate({ subject: "elsewhere", hosts: ["elsewhere.example"], issuer }), issuer], 0x12a],
  ];
  for (const [chain, code] of bad) {
    const peer = await check.begin({ chain });
    await check.closesWith(peer, code);
  }
  check.closedWith = 0x130n;
});

closes("9001-4.4-02", CRYPTO, () => crypto(0, certificateRequest(randomBytes(8))));

row("9001-4.6.1-01", async (check) => {
  const peer = await check.connect();
  peer.tlsServer?.sendTicket(0x4000);
  peer.flushTls();
  await check.closes(peer);
});

// --- RFC 9001 §4.8: alerts

row("9001-4.8-01", (check) => check.begin(editing(FINISHED, flipLast)).then((peer) => check.closes(peer)));

refuses("9001-4.8-02", [
  editing(CLIENT_HELLO, (whole) => {
    // the last extension says that it has more than is there
    const cut = Buffer.from(whole.subarray(0, whole.length - 1));
    cut.writeUIntBE(cut.length - 4, 1, 3);
    return cut;
  }),
]);
refuses("9001-4.8-03", [extending((list) => [...list, list[1] as Extension])]);
refuses("9001-4.8-04", [
  extending((list) => [
    ...without(without(list, EXT_SUPPORTED_GROUPS), EXT_KEY_SHARE),
    [EXT_SUPPORTED_GROUPS, vec(2, u16(0xfe01))],
    [EXT_KEY_SHARE, vec(2, u16(0xfe01), vec(2, randomBytes(32)))],
  ]),
]);

const MUTUAL = { setup: { clientCertificate: true } };
row(
  "9001-4.8-05",
  async (check) => {
    check.honest = { client: { certificate: rawLeaf() } };
    await check.closes(await check.begin());
  },
  MUTUAL,
);
row(
  "9001-4.8-06",
  async (check) => {
    check.honest = { client: { certificate: rawLeaf() } };
    const issuer = makeRawCertificate({ subject: "another authority", isCa: true });
    const certificate = makeRawCertificate({ subject: "client", issuer });
    await check.closes(await check.begin({ client: { certificate } }));
  },
  MUTUAL,
);

refuses("9001-4.8-07", [editing(FINISHED, flipLast)]);

row("9001-4.8-08", async (check) => {
  const certificate = message(CERTIFICATE, vec(1), vec(3));
  const early = check.isServer
    ? editing(FINISHED, (whole) => Buffer.concat([certificate.subarray(0, 0), Buffer.of(2, 0, 0, 0), whole]))
    : editing(ENCRYPTED_EXTENSIONS, () => null);
  await check.closes(await check.begin(early), CRYPTO);
});

// --- RFC 9001 §4.9: keys that are gone

row("9001-4.9.1-01", async (check) => {
  const peer = await upTo(check, HANDSHAKE);
  const pn = peer.nextPn[1] as number;
  peer.send(HANDSHAKE, PING);
  await check.until(() => isAcked(peer, HANDSHAKE, pn), "an ACK in a Handshake packet");
  await check.dropped("keys-discarded", () => peer.send(INITIAL, PING));
  await goOn(check, peer);
});

row("9001-4.9.2-01", async (check) => {
  const peer = await check.connect();
  await check.dropped("keys-discarded", () => peer.send(HANDSHAKE, PING));
  await check.usable(peer);
});

// --- RFC 9001 §5: packet protection

row("9001-5.3-01", async (check) => {
  const peer = await check.connect({ client: { cipherSuites: [0x1305, 0x13ff, 0x0a0a, 0x1301] } });
  assert.equal(peer.tlsClient?.cipherSuite, 0x1301);
  await check.usable(peer);
});

row("9001-5.4.2-01", async (check) => {
  const peer = await check.connect();
  await check.acknowledged(peer);
  await check.lab.wait(80); // what belongs to the handshake has been said
  const before = peer.datagrams.length;
  for (let size = 0; size <= 19; size++) peer.sendRaw(bytes(0x40, peer.dcid, randomBytes(size)));
  await check.quiet(20);
  assert.equal(peer.datagrams.length, before);
  await check.usable(peer);
});

row("9001-5.5-01", async (check) => {
  const peer = await check.connect();
  const forged = peer.packet(APP, [PING], { forged: true, pn: 5 });
  const rounds = check.inMemory ? 400 : 8;
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < 250; i++) peer.sendRaw(forged);
    await check.lab.wait(check.inMemory ? 0 : 3);
  }
  await check.quiet(20);
  const dropped = check.lab.drops()["forged"] ?? 0;
  assert.ok(dropped >= (check.inMemory ? 100_000 : 1000), `${dropped} forged packets were counted`);
  await check.usable(peer);
});

row("9001-5.6-01", async (check) => {
  const peer = await upTo(check, HANDSHAKE);
  const keys = peer.writeKeys(APP);
  await check.dropped("unexpected-type", () => peer.sendRaw(peer.packet(EARLY, [stream(1, 0, filled(4))], { keys })));
  assert.equal(check.app(peer).received.size, 0);
  await goOn(check, peer);
});

row("9001-5.7-01", async (check) => {
  const peer = await upTo(check, APP);
  const id = peer.ownBidi(3);
  const pn = peer.nextPn[2] as number;
  peer.send(APP, stream(id, 0, filled(100), true));
  await check.quiet(100);
  assert.equal(check.lab.app(peer)?.received.get(id), undefined, "nothing arrives before Finished");
  assert.ok(!isAcked(peer, APP, pn));
  await goOn(check, peer);
});

// --- RFC 9001 §6: key updates

refuses("9001-6-01", [editing(FINISHED, append(KEY_UPDATE_MESSAGE))]);
closes("9001-6-02", CRYPTO, () => crypto(0, KEY_UPDATE_MESSAGE));

row("9001-6.1-01", async (check) => {
  // in the first 1-RTT packet, before the Finished of the side that the engine has
  const peer = await upTo(check, APP);
  const early = peer.packet(APP, [PING], { generation: 1 });
  if (check.isServer) peer.sendRaw(early);
  else peer.sendRaw(...peer.takeTlsPackets(), early);
  peer.flushTls();
  await check.closes(peer);
});

/** After one update of the peer that the engine has answered. */
async function updated(check: Check): Promise<RawPeer> {
  const peer = await check.connect();
  await check.acknowledged(peer);
  peer.generation = 1;
  await check.acknowledged(peer);
  return peer;
}

row("9001-6.2-01", async (check) => {
  const peer = await check.connect();
  await check.acknowledged(peer);
  peer.sendRaw(peer.packet(APP, [PING], { generation: 1 }), Buffer.alloc(0));
  peer.sendRaw(peer.packet(APP, [PING], { generation: 2 }));
  await check.closes(peer);
});

row("9001-6.2-02", async (check) => {
  const peer = await check.connect();
  await check.acknowledged(peer);
  const oldPn = peer.nextPn[2] as number;
  peer.nextPn[2] = oldPn + 1;
  peer.autoAck = false;
  peer.generation = 1;
  await check.acknowledged(peer);
  const fresh = peer.packets.filter(({ level, generation }) => level === APP && generation === 1);
  assert.ok(fresh.length > 0, "the engine uses the new keys");
  const { pn } = fresh.at(-1) as { pn: number };
  peer.sendRaw(peer.packet(APP, [ack([pn, pn])], { pn: oldPn, generation: 0 }));
  await check.closes(peer);
});

row("9001-6.4-01", async (check) => {
  const peer = await updated(check);
  peer.sendRaw(peer.packet(APP, [PING], { generation: 0 }));
  await check.closes(peer);
});

/** Lowers the limits of the keys, which no peer reaches in a test. */
function limitKeys(check: Check, peer: RawPeer, limits: Record<string, number>): void {
  Object.assign((check.app(peer).conn.keys as unknown as { limits: object }).limits, limits);
}

row("9001-6.6-01", async (check) => {
  const peer = await check.connect();
  limitKeys(check, peer, { integrityPackets: 1000 });
  const forged = peer.packet(APP, [PING], { forged: true, pn: 5 });
  for (let i = 0; i < 10; i++) {
    for (let n = 0; n < 100; n++) peer.sendRaw(forged);
    await check.quiet(2);
  }
  assert.equal(peer.closes.length, 0, "1000 are allowed");
  await check.acknowledged(peer);
  peer.sendRaw(forged);
  await check.closes(peer);
});

/** The engine sends until it is told that there are `packets` of it, or no more come. */
async function sendsPackets(check: Check, peer: RawPeer, packets: number): Promise<void> {
  const app = check.app(peer);
  const id = await app.open(STREAM_BIDI);
  peer.send(APP, ints(0x10, 1 << 30), ints(0x11, id, 1 << 30));
  const start = peer.packets.length;
  for (let round = 0; round < 60 && peer.packets.length - start < packets; round++) {
    const before = peer.packets.length;
    if (app.conn.writable(id) > 60_000) app.write(id, filled(60_000), false);
    if (!(await check.lab.until(() => peer.packets.length >= before + 40, 500))) return;
  }
}

row("9001-6.6-02", async (check) => {
  const peer = await check.connect();
  await check.acknowledged(peer);
  limitKeys(check, peer, { confidentialityPackets: 1000 });
  await sendsPackets(check, peer, 1200);
  const first = peer.packets.findIndex(({ level, generation }) => level === APP && generation === 1);
  assert.ok(first > 0, "the key phase flips");
  const before = peer.packets.slice(0, first).filter(({ level }) => level === APP).length;
  assert.ok(before <= 1000, `after ${before} packets`);
  await check.usable(peer);
});

row("9001-6.6-03", async (check) => {
  const peer = await check.connect();
  await check.acknowledged(peer);
  await sendsPackets(check, peer, 400); // a window of more than 40 packets
  await check.quiet(50);
  peer.autoAck = false;
  limitKeys(check, peer, { updatePackets: 1 });
  const app = check.app(peer);
  const id = await app.open(STREAM_BIDI);
  app.write(id, filled(100), false);
  const isNew = ({ level, generation }: { level: number; generation: number }): boolean =>
    level === APP && generation === 1;
  await check.until(() => peer.packets.some(isNew), "new keys");
  limitKeys(check, peer, { confidentialityPackets: 40 });
  app.write(id, filled(200_000), false);
  await check.closes(peer);
  const sent = peer.packets.filter(isNew).length;
  assert.ok(sent > 30 && sent <= 40, `${sent} packets under a limit of 40`);
});

// --- RFC 9001 §8: extensions of TLS

row("9001-8.1-01", async (check) => check.closes(await check.begin({ alpn: ["dummy"] })));

row("9001-8.1-02", async (check) => {
  for (const chosenAlpn of [null, "another"]) await check.closes(await check.begin({ chosenAlpn }));
});

refuses("9001-8.2-01", [extending((list) => without(list, EXT_QUIC_PARAMS))]);
refuses("9001-8.2-02", [
  extending((list) => list.map(([type, body]): Extension => [type === EXT_QUIC_PARAMS ? 0xffa5 : type, body])),
]);
refuses("9001-8.2-03", [extending((list) => without(list, EXT_QUIC_PARAMS))]);
refuses("9001-8.3-01", [editing(FINISHED, (whole) => Buffer.concat([Buffer.of(5, 0, 0, 0), whole]))]);
refuses("9001-8.4-01", [{ client: { sessionId: randomBytes(32) } }]);
