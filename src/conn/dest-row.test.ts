import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ADDR_COLS } from "../port/udp.js";
import { newTxBatch } from "../sim/batches.js";
import { destRow, hasDestRoom } from "./dest-row.js";

const HERE = new Int32Array(ADDR_COLS).fill(1);
const THERE = new Int32Array(ADDR_COLS).fill(2);

describe("rows of destinations", () => {
  test("neighbours of one address share a row, and a full table has none", () => {
    const tx = newTxBatch(2);
    assert.deepEqual([destRow(tx, HERE, 0), destRow(tx, HERE, 0), destRow(tx, THERE, 0)], [0, 0, 1]);
    assert.equal(hasDestRoom(tx, 0), false);
    assert.equal(destRow(tx, HERE, 0), -1);
    assert.equal(tx.destCount, 2);
  });

  test("the first datagram decides from which socket a batch leaves: there is no room for another", () => {
    const tx = newTxBatch();
    assert.equal(destRow(tx, HERE, 0), 0);
    assert.equal(hasDestRoom(tx, 3), true, "no datagram yet");
    assert.equal(destRow(tx, THERE, 3), 0, "what was asked for in vain is gone");
    assert.deepEqual([tx.socket, tx.destCount], [3, 1]);
    tx.count = 1;
    assert.equal(hasDestRoom(tx, 0), false);
    assert.equal(destRow(tx, HERE, 0), -1);
    assert.equal(destRow(tx, HERE, 3), 1);
    assert.equal(tx.socket, 3);
  });
});
