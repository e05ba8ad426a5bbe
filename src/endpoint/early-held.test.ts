/** Packets without a connection: bounded in every direction, and given to their own connection only. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ADDR_COLS } from "../port/udp.js";
import {
  EARLY_HELD_MICROS,
  MAX_EARLY_HELD_BYTES,
  MAX_EARLY_HELD_PACKETS,
  MAX_EARLY_HELD_PER_CONNECTION,
} from "../proto/limits.js";
import { EarlyHeld, type EarlyHeldPacket } from "./early-held.js";

const ADDR = new Int32Array(ADDR_COLS).fill(1);
const OTHER = new Int32Array(ADDR_COLS).fill(2);

function packet(id: number, bytes = 100, atMicros = 0): EarlyHeldPacket {
  return {
    dcid: Uint8Array.of(id >> 8, id, 0, 0, 0, 0, 0, 0),
    addr: ADDR,
    bytes: new Uint8Array(bytes),
    ecn: 0,
    atMicros,
  };
}

describe("0-RTT packets before their Initial", () => {
  test("RFC 9000 §5.2.2 go to the connection of their id and address, in order", () => {
    const held = new EarlyHeld();
    held.hold(packet(1, 10));
    held.hold(packet(2, 20));
    held.hold(packet(1, 30));
    assert.deepEqual(held.take(packet(1).dcid, OTHER, 0), []);
    assert.deepEqual(
      held.take(packet(1).dcid, ADDR, 0).map((each) => each.bytes.length),
      [10, 30],
    );
    assert.deepEqual(held.take(packet(1).dcid, ADDR, 0), []);
    assert.equal(held.count, 1);
    assert.equal(held.heldBytes, 20);
  });

  test("are bounded for each id, in number and in bytes; the oldest go", () => {
    let dropped = 0;
    const held = new EarlyHeld(() => dropped++);
    for (let i = 0; i < MAX_EARLY_HELD_PER_CONNECTION; i++) assert.equal(held.hold(packet(1)), true);
    assert.equal(held.hold(packet(1)), false);
    for (let i = 0; i < 2000; i++) held.hold(packet(2 + i));
    assert.equal(held.count, MAX_EARLY_HELD_PACKETS);
    assert.equal(dropped, MAX_EARLY_HELD_PER_CONNECTION + 2000 - MAX_EARLY_HELD_PACKETS);
    assert.deepEqual(held.take(packet(1).dcid, ADDR, 0), []);
    assert.equal(held.take(packet(2001).dcid, ADDR, 0).length, 1);
    for (let i = 0; i < 1000; i++) held.hold(packet(i, 60_000));
    assert.ok(held.heldBytes <= MAX_EARLY_HELD_BYTES);
    held.clear();
    assert.deepEqual([held.count, held.heldBytes], [0, 0]);
  });

  test("are forgotten after a while", () => {
    const held = new EarlyHeld();
    held.hold(packet(1, 10, 0));
    held.hold(packet(1, 20, 10));
    const taken = held.take(packet(1).dcid, ADDR, EARLY_HELD_MICROS + 5);
    assert.deepEqual(
      taken.map((each) => each.bytes.length),
      [20],
    );
    assert.equal(held.heldBytes, 0);
  });
});
