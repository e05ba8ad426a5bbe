/**
 * The handshake messages of a hostile peer against the TLS library of this machine: every message changed, cut, repeated,
 * left out or put elsewhere. The packets are protected by the null AEAD, so that the peer can seal what it wants. A
 * failure names its seed: TLS_SEED=n runs that one, TLS_RUNS=n that many.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Level } from "#src/port/tls.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { Prng } from "#src/sim/prng.js";
import { Arena, type TlsContexts } from "../support/arena.js";
import { bytes } from "../support/raw-frames.js";
import { LEVEL_APP, RawPeer } from "../support/raw-peer.js";

const SEED = process.env["TLS_SEED"];
const FIRST = Number(SEED ?? 1);
const RUNS = Number(process.env["TLS_RUNS"] ?? (SEED === undefined ? 250 : 1));
const NAME = "attack.test";

function contexts(): TlsContexts {
  const identity = devCertificate({ hosts: [NAME], ed25519: true });
  const provider = chooseTls(process.env);
  const ca = [identity.cert];
  const { cert, key } = identity;
  return {
    client: provider.newClientContext({
      alpn: ["test"],
      ca,
      serverName: NAME,
      verify: "strict",
      identity: { cert, key },
    }),
    server: provider.newServerContext({
      alpn: ["test"],
      ca,
      identities: { "*": { cert, key } },
      clientCertificate: "request",
    }),
  };
}

/** One change of one message. */
function damage(random: Prng, message: Uint8Array): Uint8Array | null {
  const out = message.slice();
  const at = random.below(out.length);
  switch (random.below(9)) {
    case 0:
      return null;
    case 1:
      return bytes(out, out);
    case 2: // cut, with a length that agrees
      return withLength(out.slice(0, Math.max(4, at)));
    case 3: // cut without
      return out.slice(0, Math.max(1, at));
    case 4: // longer
      return withLength(bytes(out.subarray(0, at + 1), new Uint8Array(random.below(40)), out.subarray(at + 1)));
    case 5:
      out[0] = random.below(30);
      return out;
    case 6: // two bytes that may be a length
      out[at] = random.pick([0, 1, 0x7f, 0xff]);
      out[Math.min(at + 1, out.length - 1)] = random.pick([0, 1, 0x7f, 0xff]);
      return out;
    default:
      out[at] ^= 1 << random.below(8);
      return out;
  }
}

function withLength(message: Uint8Array): Uint8Array {
  const length = message.length - 4;
  if (length < 0) return message;
  message[1] = length >>> 16;
  message[2] = length >>> 8;
  message[3] = length;
  return message;
}

/** Runs one handshake; returns the code that the peer read, -1 for none. */
function attempt(of: TlsContexts, isServer: boolean, seed: number): number {
  const random = new Prng(seed, `tls ${isServer}`);
  const arena = new Arena({ seed, contexts: of });
  const target = random.below(isServer ? 6 : 4);
  let index = 0;
  const editTls = (_level: Level, message: Uint8Array) => (index++ === target ? damage(random, message) : message);
  const context = isServer ? of.server : of.client;
  const peer = new RawPeer(arena, { isServer, context, editTls });
  peer.validated = true;
  if (isServer) arena.connect(peer);
  peer.hello();
  for (let i = 0; i < 3; i++) {
    peer.pumpTls();
    peer.flushTls();
    arena.advance(500_000);
  }
  const code = peer.closeCode;
  assert.ok(code < 0 || code <= 0x10 || (code >= 0x100 && code <= 0x1ff), `closed with ${code}`);
  arena.assertCleanEnd();
  return code;
}

describe("TLS messages of a hostile peer at the TLS library", () => {
  const of = contexts();

  for (const isServer of [false, true]) {
    const role = isServer ? "client" : "server";

    test(`a ${role} completes with a peer that changes nothing`, () => {
      const arena = new Arena({ contexts: of });
      const peer = new RawPeer(arena, { isServer, context: isServer ? of.server : of.client });
      if (isServer) arena.connect(peer);
      peer.connect();
      assert.equal(arena.conns[0].handshake?.alpn, "test");
      assert.equal(peer.canWrite(LEVEL_APP), true);
      arena.assertCleanEnd();
    });

    test(`${RUNS} seeds from ${FIRST} at a ${role}: an alert or patience, never an exception`, () => {
      let alerts = 0;
      for (let seed = FIRST; seed < FIRST + RUNS; seed++) {
        try {
          if (attempt(of, isServer, seed) >= 0x100) alerts++;
        } catch (error) {
          throw new Error(`TLS_SEED=${seed}: ${(error as Error).message}`, { cause: error });
        }
      }
      if (RUNS > 100) assert.ok(alerts > RUNS / 5, `${alerts} alerts`);
    });
  }
});
