/** RFC 9000 §7.3 to §7.5 and §18: transport parameters, and the CRYPTO streams that carry them. */

import { randomBytes } from "node:crypto";
import { bytes, crypto, vi } from "../support/raw-frames.js";
import * as P from "../raw/params.js";
import { HANDSHAKE, INITIAL, type RawPeer, type RawPeerOptions } from "../raw/peer.js";
import type { Extension } from "../raw/tls-messages.js";
import { filled } from "./check.js";
import { largeLeaf, rawCa } from "./lab.js";
import { closes, refuses, row } from "./scripts.js";

/** One parameter set to these bytes, or left out. */
const set = (id: number, value: Uint8Array | null): RawPeerOptions => ({
  params: (list) => P.withParam(list, id, value),
});

function flipped(value: Uint8Array): Uint8Array {
  const out = Uint8Array.from(value);
  out[0] = (out[0] as number) ^ 1;
  return out;
}

/** A server that sends a Retry first; `scid` says what its parameter holds. */
export function retrying(scid: (peer: RawPeer) => Uint8Array | null): RawPeerOptions {
  return {
    params: (list, peer) => P.withParam(list, P.P_RETRY_SCID, scid(peer)),
    onFirst: retryOnce,
  };
}

export function retryOnce(peer: RawPeer, header: { token: Buffer }): boolean {
  if (header.token.length > 0) return false;
  if (peer.wasRetried) return true;
  peer.noteRetried();
  peer.scid = randomBytes(8);
  peer.sendRaw(peer.retryPacket(Buffer.from("token"), peer.scid));
  return true;
}

refuses("9000-7.3-01", [set(P.P_INITIAL_SCID, null)]);
refuses("9000-7.3-02", [set(P.P_INITIAL_SCID, null)]);
refuses("9000-7.3-03", [set(P.P_ORIGINAL_DCID, null)]);
for (const id of ["9000-7.3-04", "9000-7.3-05"]) {
  refuses(id, [{ params: (list, peer) => P.withParam(list, P.P_INITIAL_SCID, flipped(peer.scid)) }]);
}
refuses("9000-7.3-06", [{ params: (list, peer) => P.withParam(list, P.P_ORIGINAL_DCID, flipped(peer.origDcid)) }]);
refuses("9000-7.3-07", [retrying(() => null)]);
refuses("9000-7.3-08", [set(P.P_RETRY_SCID, filled(8))]);
refuses("9000-7.3-09", [retrying((peer) => flipped(peer.scid))]);

const INTEGERS = [
  P.P_IDLE_TIMEOUT,
  P.P_MAX_UDP_PAYLOAD,
  P.P_MAX_DATA,
  P.P_STREAM_DATA_BIDI_LOCAL,
  P.P_STREAM_DATA_BIDI_REMOTE,
  P.P_STREAM_DATA_UNI,
  P.P_STREAMS_BIDI,
  P.P_STREAMS_UNI,
  P.P_ACK_DELAY_EXPONENT,
  P.P_MAX_ACK_DELAY,
  P.P_CID_LIMIT,
];
refuses(
  "9000-7.4-01",
  INTEGERS.flatMap((id) => [set(id, new Uint8Array(0)), set(id, bytes(vi(10), 0)), set(id, Uint8Array.of(0x40))]),
);
refuses(
  "9000-7.4-02",
  [1 << 24, 7].map((value) => ({ params: (list) => [...list, [P.P_MAX_DATA, vi(value)]] })),
);
refuses(
  "9000-7.4-03",
  [bytes(0x3b, 10, 1, 2, 3), Uint8Array.of(0x3b), Uint8Array.of(0x40), bytes(0x3b, 0x80, 0)].map((tail) => ({
    params: (list) => bytes(P.writeParams(list), tail),
  })),
);

row("9000-7.4.2-01", async (check) => {
  // OpenSSL takes EncryptedExtensions of 20,000 bytes at most (docs/deviations.md)
  for (const [n, size] of [
    [5, 40],
    [1000, check.isServer ? 60_000 : 18_000],
  ] as const) {
    const peer = await check.connect({ params: (list) => [...list, [31 * n + 27, randomBytes(size)]] });
    await check.usable(peer);
  }
});

/** The waiting TLS messages of a level as CRYPTO frames of `size` bytes. */
function piecesOf(peer: RawPeer, level: number, size: number): Uint8Array[] {
  const whole = Buffer.concat(peer.tlsOut.filter((out) => out.level === level).map((out) => out.bytes));
  peer.tlsOut = peer.tlsOut.filter((out) => out.level !== level);
  const frames: Uint8Array[] = [];
  for (let at = 0; at < whole.length; at += size) frames.push(crypto(at, whole.subarray(at, at + size)));
  return frames;
}

const PADDING_EXTENSION: Extension = [21, Buffer.alloc(4700)];

row("9000-7.5-01", async (check) => {
  const chain = [largeLeaf(5000), rawCa()];
  const client = { extensions: (list: Extension[]) => [...list, PADDING_EXTENSION] };
  const peer = await check.begin({ autoTls: false, chain, client });
  if (check.isServer) {
    for (const frame of piecesOf(peer, INITIAL, 500).reverse()) peer.send(INITIAL, frame);
  } else {
    await check.until(() => peer.tlsOut.length > 0, "the ClientHello");
    peer.flushTls(INITIAL);
    for (const frame of piecesOf(peer, HANDSHAKE, 500).reverse()) peer.send(HANDSHAKE, frame);
  }
  peer.autoTls = true;
  await check.confirmed(peer);
  await check.usable(peer);
});

row("9000-7.5-02", async (check) => {
  const peer = await check.peer({ autoTls: false });
  if (!check.isServer) await check.until(() => peer.tlsOut.length > 0, "the ClientHello");
  peer.send(INITIAL, crypto(2 ** 20, filled(1000)));
  await check.closes(peer, 0x06);
});

closes("9000-7.5-03", 0x06, () => [...Array(16).keys()].map((n) => crypto(65_536 * (n + 1), filled(1000))));
closes("9000-19.6-01", 0x06, () => crypto(2n ** 62n - 1n, filled(2)));

// --- RFC 9000 §18.2 --------------------------------------------------------------------------------------------------

function preferredAddress(cid: Uint8Array): Uint8Array {
  return bytes([127, 0, 0, 1], [0x10, 0], new Uint8Array(18), cid.length, cid, filled(16));
}

refuses("9000-18.2-01", [set(P.P_ORIGINAL_DCID, filled(8))]);
refuses("9000-18.2-02", [set(P.P_PREFERRED_ADDRESS, preferredAddress(filled(8)))]);
refuses("9000-18.2-03", [set(P.P_RETRY_SCID, filled(8))]);
refuses("9000-18.2-04", [set(P.P_RESET_TOKEN, filled(16))]);
refuses("9000-18.2-05", [set(P.P_MAX_UDP_PAYLOAD, vi(1090)), set(P.P_MAX_UDP_PAYLOAD, vi(1199))]);
refuses("9000-18.2-06", [set(P.P_ACK_DELAY_EXPONENT, vi(21)), set(P.P_ACK_DELAY_EXPONENT, vi(30))]);
refuses("9000-18.2-07", [set(P.P_MAX_ACK_DELAY, vi(2 ** 14)), set(P.P_MAX_ACK_DELAY, vi(2 ** 15))]);
refuses("9000-18.2-08", [set(P.P_CID_LIMIT, vi(0)), set(P.P_CID_LIMIT, vi(1))]);
refuses("9000-18.2-09", [set(P.P_RESET_TOKEN, filled(15)), set(P.P_RESET_TOKEN, filled(17))]);
refuses("9000-18.2-10", [set(P.P_PREFERRED_ADDRESS, preferredAddress(new Uint8Array(0)))]);
refuses("9000-18.2-11", [{ ...set(P.P_PREFERRED_ADDRESS, preferredAddress(filled(8))), scid: new Uint8Array(0) }]);
{
  const whole = preferredAddress(filled(8));
  const cuts = Array.from({ length: whole.length }, (_, length) => whole.slice(0, length));
  refuses(
    "9000-18.2-12",
    [...cuts, bytes(whole, 0), preferredAddress(filled(21))].map((value) => set(P.P_PREFERRED_ADDRESS, value)),
  );
}
refuses("9000-18.2-13", [set(P.P_DISABLE_MIGRATION, filled(1))]);
refuses("9000-18.2-14", [set(P.P_INITIAL_SCID, filled(21))]);
