/**
 * Nothing is left of a session that has come and gone: counted object by object and key by key, not by the size of the
 * heap. In a file of its own, because it counts what the whole process holds.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { queryObjects } from "node:v8";
import { connect, listen, QuicSession, QuicStream } from "#src/api/quic/index.js";
import { SessionCore } from "#src/api/quic/session-core.js";
import { StreamCore } from "#src/api/quic/stream-core.js";
import { Connection } from "#src/conn/connection.js";
import { AEAD_AES_128_GCM } from "#src/port/aead.js";
import { chooseDatapath } from "#src/runtime/choose.js";
import { ALPN, addressOf, content, echo, readAll, testCa, testLeaf } from "./support.js";
import { untilEqual } from "../support/wait.js";

const SESSIONS = 12;
const LIMIT_MILLIS = 140_000;

process.removeAllListeners("warning"); // queryObjects is experimental

function live(): Record<string, number> {
  const kinds = [Connection, SessionCore, QuicSession, StreamCore, QuicStream];
  return Object.fromEntries(kinds.map((kind) => [kind.name, queryObjects(kind, { format: "count" })]));
}

/** The slots that the next packet keys get: the lowest free ones (addon/slot_table.h and its portable twin). */
function freeSlots(): number[] {
  const { aead } = chooseDatapath(process.env);
  const key = new Uint8Array(16);
  const slots = Array.from({ length: 4 * SESSIONS }, () => aead.newKey(AEAD_AES_128_GCM, key, new Uint8Array(12)));
  for (const slot of slots) aead.freeKey(slot);
  return slots;
}

async function comeAndGo(address: string): Promise<void> {
  const session = await connect(address, { alpn: ALPN, ca: testCa().cert });
  const bytes = content(2_000);
  const stream = await session.createBidirectionalStream({ body: bytes });
  assert.equal((await readAll(stream)).length, bytes.length);
  await session.close();
}

test("nothing is left of sessions that came and went: no object, no key", { timeout: 170_000 }, async () => {
  const before = freeSlots();
  const { cert, key } = testLeaf();
  const endpoint = await listen(echo, { alpn: [ALPN], sni: { "*": { keys: key, certs: cert } } });
  try {
    const address = addressOf(endpoint);
    await Promise.all(Array.from({ length: SESSIONS }, () => comeAndGo(address)));
    const none = { Connection: 0, SessionCore: 0, QuicSession: 0, StreamCore: 0, QuicStream: 0 };
    // closing periods last three probe timeouts (RFC 9000 §10.2), which are
    // long where the machine is slow
    await untilEqual(live, none, LIMIT_MILLIS);
    assert.deepEqual(freeSlots(), before);
    await endpoint.close();
  } finally {
    endpoint.destroy(); // one that is left keeps the process
  }
});
