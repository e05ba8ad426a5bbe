/** RFC 9000 §5 to §7.2: connection ids, versions, the first packets of a connection. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { CONNECTION_REFUSED, FRAME_ENCODING_ERROR } from "#src/proto/transport-error.js";
import { bytes, close, crypto, newConnectionId, padding, PING, vi } from "../support/raw-frames.js";
import { longHeader, versionNegotiation } from "../raw/headers.js";
import { intParam, P_CID_LIMIT } from "../raw/params.js";
import { APP, HANDSHAKE, INITIAL, type RawPeer, type RawPeerOptions } from "../raw/peer.js";
import { describeCloses, isAcked } from "./check.js";
import { closes, row } from "./scripts.js";

const NEW_CONNECTION_ID = 0x18;
const UNKNOWN_VERSION = 0x1a2a3a4a;

/** NEW_CONNECTION_ID with an id of the length that the raw peer's packets have. */
export function newId(seq: number, retirePriorTo: number, cid: Uint8Array = idOf(seq)): Uint8Array {
  return newConnectionId(seq, retirePriorTo, cid);
}

export function idOf(seq: number): Uint8Array {
  return bytes([0xc1, 0xd0, 0, 0, 0, 0], [seq >> 8, seq & 255]);
}

export function cidLimit(peer: RawPeer): number {
  return peer.peerParams.has(P_CID_LIMIT) ? intParam(peer.peerParams, P_CID_LIMIT) : 2;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

// --- RFC 9000 §5.1 ---------------------------------------------------------------------------------------------------

closes("9000-5.1.1-01", NEW_CONNECTION_ID, (peer) => range(1, cidLimit(peer) + 1).map((seq) => newId(seq, 0)));

row("9000-5.1.1-02", async (check) => {
  const peer = await check.connect();
  await check.until(() => peer.frames("NEW_CONNECTION_ID").length >= 3, "more ids");
  const ids = peer.frames("NEW_CONNECTION_ID").map(({ data }) => data);
  for (const dcid of ids) {
    const pn = peer.nextPn[2] as number;
    peer.sendRaw(peer.packet(APP, [PING], { dcid }));
    await check.until(() => isAcked(peer, APP, pn), `an ACK of a packet to ${dcid.toString("hex")}`);
  }
  await check.usable(peer);
});

row("9000-5.1.2-01", async (check) => {
  const peer = await check.connect();
  const limit = cidLimit(peer);
  for (const seq of range(1, limit)) peer.send(APP, newId(seq, 0));
  await check.acknowledged(peer);
  peer.send(APP, newId(limit, limit));
  const retired = (): number[] => peer.frames("RETIRE_CONNECTION_ID").map(({ values }) => Number(values[0]));
  await check.until(() => retired().length >= limit, "RETIRE_CONNECTION_ID for every id before");
  assert.deepEqual(
    retired().sort((a, b) => a - b),
    range(0, limit),
  );
  await check.usable(peer);
});

closes("9000-5.1.2-02", NEW_CONNECTION_ID, (peer) => {
  peer.autoAck = false;
  return range(1, 200).map((seq) => newId(seq, seq));
});

row("9000-5.1.2-03", async (check) => {
  const peer = await check.connect();
  peer.send(APP, newId(1, 1));
  await check.until(() => peer.frames("RETIRE_CONNECTION_ID").length > 0, "RETIRE_CONNECTION_ID");
  const before = peer.packets.length;
  await check.usable(peer);
  for (const { dcid } of peer.packets.slice(before)) assert.deepEqual(dcid, Buffer.from(idOf(1)));
});

// --- RFC 9000 §5.2 ---------------------------------------------------------------------------------------------------

row("9000-5.2-01", async (check) => {
  const peer = await check.begin({ autoTls: false });
  if (!check.isServer) await check.until(() => peer.tlsOut.length > 0, "the ClientHello");
  const [first] = peer.tlsOut;
  peer.send(INITIAL, crypto(0, (first as { bytes: Buffer }).bytes.subarray(0, 900)), Uint8Array.of(0x21));
  await check.closesWith(peer, FRAME_ENCODING_ERROR, 0x21);
});

row("9000-5.2.1-01", async (check) => {
  const peer = await check.begin({ autoTls: false });
  await check.until(() => peer.tlsOut.length > 0, "the ClientHello");
  const [hello] = peer.tlsOut;
  const frame = crypto(0, (hello as { bytes: Buffer }).bytes);
  await check.dropped("unknown-version", () => {
    peer.sendRaw(peer.packet(INITIAL, [frame], { version: UNKNOWN_VERSION, pn: 77 }));
  });
  await goOn(check, peer);
});

async function goOn(check: Parameters<Parameters<typeof row>[1]>[0], peer: RawPeer): Promise<void> {
  peer.autoTls = true;
  peer.autoAck = true;
  peer.flushTls();
  await check.confirmed(peer);
  await check.usable(peer);
}

function unknownVersion(dcidBytes: number, scidBytes: number, size: number): Buffer {
  const head = longHeader(0xc0, UNKNOWN_VERSION, randomBytes(dcidBytes), randomBytes(scidBytes));
  return Buffer.from(bytes(head, padding(size - head.length)));
}

row("9000-5.2.2-01", async (check) => {
  const peer = await check.peer();
  peer.sendRaw(unknownVersion(8, 8, 1199));
  await check.silent(peer);
});

row("9000-5.2.2-02", async (check) => {
  for (const size of [20, 255]) {
    const peer = await check.peer({ scid: randomBytes(8) });
    const datagram = unknownVersion(size, size, 1200);
    peer.sendRaw(datagram);
    await check.until(() => peer.versionNegotiations.length > 0, "Version Negotiation");
    await check.quiet();
    assert.equal(peer.datagrams.length, 1);
    const [answer] = peer.versionNegotiations as [Buffer];
    const dcid = datagram.subarray(6, 6 + size);
    const scid = datagram.subarray(7 + size, 7 + 2 * size);
    const head = versionNegotiation(scid, dcid, []);
    assert.deepEqual(answer.subarray(1, head.length), Buffer.from(head).subarray(1), "ids change places");
    const versions = answer.subarray(head.length);
    assert.ok(versions.length % 4 === 0 && versions.includes(Buffer.of(0, 0, 0, 1)), "version 1 is listed");
  }
});

row("9000-5.2.2-03", async (check) => {
  const peer = await check.peer();
  const head = longHeader(0xe0, 1, randomBytes(8), randomBytes(8), vi(1100, 2));
  peer.sendRaw(bytes(head, padding(1100)));
  await check.silent(peer);
});

row(
  "9000-5.2.2-04",
  async (check) => {
    const first = await check.connect();
    const second = await check.begin();
    await check.closes(second);
    assert.deepEqual([second.closes[0]?.level, second.closes[0]?.code], [INITIAL, BigInt(CONNECTION_REFUSED)]);
    await check.usable(first);
    first.send(APP, close(0));
    await check.lab.wait(check.inMemory ? 5000 : 300); // the draining period
  },
  { setup: { maxConnections: 1 } },
);

// --- RFC 9000 §6 -----------------------------------------------------------------------------------------------------

row("9000-6.1-01", async (check) => {
  const peer = await check.peer();
  peer.sendRaw(bytes(versionNegotiation(randomBytes(8), randomBytes(8), [1]), padding(1200)));
  await check.silent(peer);
});

/** A server that sends Version Negotiation as soon as the first Initial is there, and then does what is right. */
function negotiating(versions: readonly number[]): RawPeerOptions {
  return {
    onFirst: (peer) => {
      peer.sendRaw(versionNegotiation(peer.dcid, peer.origDcid, versions));
      return false;
    },
  };
}

row("9000-6.2-01", async (check) => {
  const peer = await check.begin({ autoTls: false });
  await check.until(() => peer.tlsOut.length > 0, "the ClientHello");
  peer.flushTls(INITIAL);
  await check.quiet(5);
  await check.dropped("unexpected-type", () => {
    peer.sendRaw(versionNegotiation(peer.dcid, peer.origDcid, [UNKNOWN_VERSION]));
  });
  await goOn(check, peer);
});

row("9000-6.2-02", async (check) => {
  const peer = await check.connect(negotiating([check.version, UNKNOWN_VERSION]));
  await check.usable(peer);
});

row("9000-6.2-03", async (check) => {
  const peer = await check.begin({ ...negotiating([UNKNOWN_VERSION]), autoTls: false });
  await check.until(() => peer.datagrams.length > 0, "the first Initial");
  const app = check.app(peer);
  await check.until(() => app.error !== undefined, "the end of the attempt");
  assert.equal(app.error?.code, "ERR_QUIC_VERSION_NEGOTIATION_ERROR");
  assert.deepEqual(peer.closes, [], describeCloses(peer));
});

// --- RFC 9000 §7.2 ---------------------------------------------------------------------------------------------------

row("9000-7.2-01", async (check) => {
  for (const size of [7, 0]) {
    const peer = await check.begin({ dcid: randomBytes(size) });
    await check.silent(peer);
  }
});

row("9000-7.2-02", async (check) => {
  const peer = await check.begin({ autoTls: false, autoAck: false });
  peer.flushTls();
  await check.until(() => peer.packets.length > 0, "an answer");
  const pn = peer.nextPn[0] as number;
  peer.sendRaw(peer.packet(INITIAL, [PING], { scid: randomBytes(8) }));
  await check.quiet();
  assert.ok(!isAcked(peer, INITIAL, pn), "the packet with another source id is not acknowledged");
  peer.send(INITIAL, PING);
  await check.until(() => isAcked(peer, INITIAL, pn + 1), "an ACK of the packet after it");
  assert.ok(!isAcked(peer, INITIAL, pn));
  await goOn(check, peer);
});

row("9000-7.2-03", async (check) => {
  const peer = await check.begin({ autoTls: false });
  await check.until(() => peer.tlsOut.length > 0, "the ClientHello");
  peer.flushTls(INITIAL);
  const pn = peer.nextPn[1] as number;
  peer.sendRaw(peer.packet(HANDSHAKE, [PING], { scid: randomBytes(8) }));
  peer.send(HANDSHAKE, PING);
  await check.until(() => isAcked(peer, HANDSHAKE, pn + 1), "an ACK of the packet after it");
  assert.ok(!isAcked(peer, HANDSHAKE, pn), "the packet with another source id is not acknowledged");
  await goOn(check, peer);
});

export { goOn };
