/** What an operator's limits on memory do to connections: windows grow less, and clients are refused. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { NO_PRESSURE } from "#src/port/memory.js";
import { STREAM_UNI } from "#src/port/transport.js";
import { DROP_REFUSED } from "#src/observe/drop-reason.js";
import { CONNECTION_REFUSED } from "#src/proto/transport-error.js";
import { closeOf, Pair } from "../support/pair.js";

const CHUNK = new Uint8Array(64 * 1024);

const WINDOW_BYTES = 65_536;

/** The server's window of the connection after a client filled it several times, and the server read all of it. */
function windowAfterBulk(windowGrowth: number): number {
  const pair = new Pair({ server: { initialMaxData: WINDOW_BYTES, initialMaxStreamDataUni: WINDOW_BYTES / 2 } });
  pair.server.pressure = { windowGrowth, refusesConnections: false };
  pair.settle();
  const id = pair.clientConn.open(STREAM_UNI);
  const server = pair.serverConn!;
  for (let moved = 0; moved < 8 * WINDOW_BYTES; ) {
    moved += pair.clientConn.write(id, CHUNK, 0, 8192, false);
    pair.settle();
    while (server.read(id, CHUNK, 0, CHUNK.length) > 0);
    server.streams.smoothedRttMicros = 1e9; // whatever is used, is used quickly
    pair.advance(1000);
  }
  return server.streams.recvCredit.windowBytes;
}

describe("memory is short", () => {
  test("clients are refused at the high mark, with their connection and a counted drop", () => {
    const pair = new Pair();
    pair.server.pressure = { windowGrowth: 1, refusesConnections: true };
    pair.settle();
    const { type, code, remote } = closeOf(pair.clientEvents);
    assert.deepEqual([type, Number(code), remote], ["transport", CONNECTION_REFUSED, true]);
    assert.deepEqual([pair.server.connectionCount, pair.server.counters.drops[DROP_REFUSED]], [0, 1]);
  });

  test("connections that are there go on, and new ones come in when it is over", () => {
    const pair = new Pair();
    const pressure = { ...NO_PRESSURE };
    pair.server.pressure = pressure;
    pair.settle();
    pressure.refusesConnections = true;
    const id = pair.clientConn.open(STREAM_UNI);
    pair.clientConn.write(id, CHUNK, 0, 100, true);
    pair.settle();
    assert.equal(pair.serverConn!.readable(id), 100);
    pressure.refusesConnections = false;
    pair.again({});
    pair.settle();
    assert.ok(pair.serverConn !== null);
  });

  test("receive windows that are used up grow by half under pressure, and not at all at the high mark", () => {
    const [free, pressed, full] = [windowAfterBulk(2), windowAfterBulk(1.5), windowAfterBulk(1)];
    assert.equal(full, WINDOW_BYTES);
    assert.ok(pressed > full && free > pressed, `${free} ${pressed} ${full}`);
  });
});
