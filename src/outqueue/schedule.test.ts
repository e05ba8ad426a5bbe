import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Stream } from "../stream/stream.js";
import { Schedule } from "./schedule.js";

function add(schedule: Schedule, id: number, urgency = 3, incremental = true): Stream {
  const stream = new Stream(id, null, null);
  stream.urgency = urgency;
  stream.incremental = incremental;
  schedule.insert(stream);
  return stream;
}

/** Ids of the next `turns` frames. */
function take(schedule: Schedule, turns: number): number[] {
  return Array.from({ length: turns }, () => {
    const stream = schedule.peek();
    if (stream === null) return -1;
    schedule.rotate(stream);
    return stream.id;
  });
}

describe("Schedule", () => {
  test("RFC 9218 §4.1 lower urgency goes first", () => {
    const schedule = new Schedule();
    add(schedule, 0, 7);
    const urgent = add(schedule, 4, 0);
    add(schedule, 8, 3);
    assert.deepEqual(take(schedule, 2), [4, 4]);
    schedule.remove(urgent);
    assert.deepEqual(take(schedule, 2), [8, 8]);
  });

  test("RFC 9218 §10 incremental streams take turns, the others go in order of their ids", () => {
    const schedule = new Schedule();
    for (const id of [8, 0, 4]) add(schedule, id);
    assert.deepEqual(take(schedule, 6), [8, 0, 4, 8, 0, 4]);
    const other = new Schedule();
    for (const id of [8, 0, 4, 12]) add(other, id, 3, false);
    assert.deepEqual(take(other, 2), [0, 0]);
  });

  test("turnFrames says how often the stream of this turn would be next again", () => {
    const schedule = new Schedule();
    const turns = add(schedule, 0);
    assert.equal(schedule.turnFrames(turns), Infinity);
    const second = add(schedule, 4);
    assert.equal(schedule.turnFrames(turns), 1);
    schedule.remove(second);
    const ordered = add(schedule, 8, 3, false);
    assert.equal(schedule.turnFrames(turns), 1, "the two groups alternate");
    schedule.remove(turns);
    add(schedule, 12, 3, false);
    assert.equal(schedule.turnFrames(ordered), Infinity, "the others of the group wait for its end");
  });

  test("a turn is as many frames as it is told to be, and what is left of it is the next run", () => {
    const schedule = new Schedule();
    schedule.turnLimit = 3;
    const first = add(schedule, 0);
    const second = add(schedule, 4);
    assert.deepEqual(take(schedule, 7), [0, 0, 0, 4, 4, 4, 0]);
    assert.equal(schedule.turnFrames(first), 2);
    schedule.rotate(first, 2);
    assert.equal(schedule.peek(), second);
    schedule.rotate(second);
    schedule.remove(second); // nothing left to send; the rest of its turn is void
    schedule.insert(second);
    assert.equal(schedule.peek(), first);
    assert.deepEqual(take(schedule, 6), [0, 0, 0, 4, 4, 4]);
  });

  test("a stream alone has turns without end; they count for when another comes", () => {
    const one = new Schedule();
    const other = new Schedule();
    one.turnLimit = other.turnLimit = 4;
    const stream = add(one, 0);
    const twin = add(other, 0);
    one.rotate(stream, 10);
    for (let i = 0; i < 10; i++) other.rotate(twin);
    add(one, 4);
    add(other, 4);
    assert.deepEqual(take(one, 6), take(other, 6));
  });

  test("neither group of one urgency starves the other", () => {
    const schedule = new Schedule();
    for (const id of [0, 4]) add(schedule, id);
    for (const id of [12, 8]) add(schedule, id, 3, false);
    assert.deepEqual(take(schedule, 6), [0, 8, 4, 8, 0, 8]);
  });

  test("a stream may leave at any time, and is gone then", () => {
    const schedule = new Schedule();
    const streams = [0, 4, 8].map((id) => add(schedule, id));
    schedule.remove(streams[1]);
    schedule.remove(streams[1]);
    assert.deepEqual(take(schedule, 3), [0, 8, 0]);
    schedule.remove(streams[0]);
    schedule.remove(streams[2]);
    assert.equal(schedule.peek(), null);
  });

  test("parked streams wait until they are let out", () => {
    const schedule = new Schedule();
    const one = add(schedule, 0);
    const two = add(schedule, 4);
    schedule.park(one);
    schedule.park(two);
    assert.equal(schedule.peek(), null);
    schedule.remove(one);
    schedule.unparkAll();
    assert.deepEqual(take(schedule, 2), [4, 4]);
  });
});
