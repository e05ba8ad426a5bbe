/**
 * What a stranger can make a server keep with one datagram: T17. Measured on the heap over a thousand of them, with room
 * for the collector's mood, in a file of its own because other tests leave garbage.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { TlsContext } from "#src/port/tls.js";
import { Prng } from "#src/sim/prng.js";
import { NullTls } from "../support/null-tls.js";
import { Arena, type ArenaPeer } from "../support/arena.js";
import { crypto, PING } from "../support/raw-frames.js";
import { LEVEL_INITIAL, RawPeer } from "../support/raw-peer.js";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

const COUNT = 1000;
/** Of one that may not even be there: the address can be forged until 256 of them turn Retry on. */
const MAX_HALF_OPEN_BYTES = 6 * 1024;
let nextSeed = 100;
const HELLO_START = Uint8Array.of(1, 0, 4, 0, 3, 3);

function mute({ address }: RawPeer): ArenaPeer {
  return { address, validated: false, bytesSent: 0, bytesReceived: 0, receive: () => {} };
}

/** Heap and array buffers, bytes. */
function heldBytes(): number {
  for (let i = 0; i < 3; i++) gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Bytes that each of `flights` left behind; they are made elsewhere, so that only the server's part counts. */
function bytesEach(arena: Arena, flight: (peer: RawPeer) => Uint8Array): number {
  const maker = new Arena({ seed: nextSeed++ }); // other ids each time
  const flights = Array.from({ length: COUNT }, () => {
    const peer = new RawPeer(maker);
    return { peer: mute(peer), datagram: flight(peer) };
  });
  const before = heldBytes();
  for (const { peer, datagram } of flights) {
    arena.add(peer);
    arena.send(peer, datagram);
  }
  const each = (heldBytes() - before) / COUNT;
  assert.equal(flights.length, COUNT); // alive until here: what is let go must not be taken off
  return each;
}

describe("half-open handshakes, T17: memory", () => {
  const cases: [string, (peer: RawPeer) => Uint8Array][] = [
    ["a PING", (peer) => peer.packet(LEVEL_INITIAL, [PING])],
    ["the start of a ClientHello", (peer) => peer.packet(LEVEL_INITIAL, [crypto(0, HELLO_START)])],
  ];
  for (const [name, flight] of cases) {
    test(`${name} makes the server keep ${MAX_HALF_OPEN_BYTES} bytes at most`, () => {
      const arena = new Arena({ retry: "never" });
      bytesEach(arena, flight); // code and pools
      const each = bytesEach(arena, flight);
      assert.equal(arena.endpoint.halfOpenCount, 2 * COUNT);
      assert.ok(each <= MAX_HALF_OPEN_BYTES, `${each} bytes`);
    });
  }

  test("TLS begins with a whole ClientHello, however small its pieces are", () => {
    const tls = new NullTls({ random: new Prng(1, "tls") });
    const inner = tls.newServerContext({ alpn: ["test"], identities: {} });
    let sessions = 0;
    const server: TlsContext = {
      isServer: true,
      newSession: (options) => {
        sessions++;
        return inner.newSession(options);
      },
      close: () => inner.close(),
    };
    const client = tls.newClientContext({ alpn: ["test"], serverName: "localhost", verify: "strict" });
    const arena = new Arena({ contexts: { client, server } });
    const part = new RawPeer(arena);
    for (let at = 0; at < HELLO_START.length; at++) {
      part.send(LEVEL_INITIAL, crypto(at, HELLO_START.subarray(at, at + 1)));
    }
    assert.deepEqual([sessions, arena.endpoint.halfOpenCount], [0, 1]);
    new RawPeer(arena).hello();
    assert.equal(sessions, 1);
  });

  test("an Initial that does not open leaves nothing", () => {
    const arena = new Arena({ retry: "never" });
    const forged = (peer: RawPeer): Uint8Array => peer.packet(LEVEL_INITIAL, [PING], { forged: true });
    bytesEach(arena, forged);
    const each = bytesEach(arena, forged);
    assert.equal(arena.endpoint.connectionCount, 0);
    assert.ok(each <= 512, `${each} bytes`); // the peers' own entries in the arena
  });
});
