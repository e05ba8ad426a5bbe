import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PATH_DATA_BYTES } from "../frame/table.js";
import { MAX_PATH_CHALLENGES, MAX_PATH_RESPONSES } from "../proto/limits.js";
import {
  PathChallenge,
  PathResponses,
  VALIDATION_DONE,
  VALIDATION_FAILED,
  VALIDATION_IDLE,
  VALIDATION_PENDING,
} from "./validation.js";

const PTO_MICROS = 100_000;

function data(fill: number): Uint8Array {
  return new Uint8Array(PATH_DATA_BYTES).fill(fill);
}

function counting(): PathChallenge {
  let next = 1;
  return new PathChallenge({ fill: (buf, start, end) => void buf.fill(next++, start, end) });
}

describe("PATH_RESPONSE frames that we owe", () => {
  test("9000-8.2.2-01 each challenge is answered once with its 8 bytes, in order", () => {
    const responses = new PathResponses();
    const packet = Uint8Array.of(0, ...data(7), ...data(8));
    responses.onChallenge(packet, 1);
    responses.onChallenge(packet, 9);
    packet.fill(0xff);
    assert.deepEqual(responses.peek(), data(7));
    assert.deepEqual(responses.peek(), data(7), "until it is written");
    responses.pop();
    assert.deepEqual(responses.peek(), data(8));
    responses.pop();
    assert.equal(responses.peek(), null);
  });

  test("CVE-2023-49295 a flood of challenges holds MAX_PATH_RESPONSES answers, the newest", () => {
    const responses = new PathResponses();
    for (let i = 0; i < 1000; i++) responses.onChallenge(data(i & 0xff), 0);
    assert.equal(responses.count, MAX_PATH_RESPONSES);
    const left: number[] = [];
    for (let next = responses.peek(); next !== null; next = responses.peek()) {
      left.push(next[0]);
      responses.pop();
    }
    assert.deepEqual(
      left,
      [996, 997, 998, 999].map((i) => i & 0xff),
    );
  });
});

describe("our own path validation", () => {
  test("RFC 9000 §8.2.3 a response with the data of any challenge sent validates the path", () => {
    const challenge = counting();
    assert.equal(challenge.isDue(0), false);
    challenge.start(0, PTO_MICROS);
    assert.equal(challenge.isDue(0), true);
    challenge.take(0);
    challenge.take(PTO_MICROS);
    assert.equal(challenge.onResponse(data(9), 0), false);
    assert.equal(challenge.state, VALIDATION_PENDING);
    assert.equal(challenge.onResponse(Uint8Array.of(0, ...data(1)), 1), true);
    assert.equal(challenge.state, VALIDATION_DONE);
    assert.equal(challenge.deadlineMicros, Infinity);
  });

  test("9000-8.2.3-01 a response that matches nothing is ignored: unsent slots are no challenge", () => {
    const challenge = counting();
    challenge.start(0, PTO_MICROS);
    assert.equal(challenge.onResponse(data(0), 0), false);
    challenge.take(0);
    assert.equal(challenge.onResponse(data(0), 0), false);
    assert.equal(challenge.state, VALIDATION_PENDING);
  });

  test("RFC 9000 §8.2.1 challenges are a PTO apart, each with data of its own", () => {
    const challenge = counting();
    challenge.start(0, PTO_MICROS);
    const seen = new Set<number>();
    for (let i = 0; i < MAX_PATH_CHALLENGES; i++) {
      assert.equal(challenge.isDue(i * PTO_MICROS - 1), false);
      assert.equal(challenge.isDue(i * PTO_MICROS), true);
      seen.add(challenge.take(i * PTO_MICROS)[0]);
    }
    assert.equal(seen.size, MAX_PATH_CHALLENGES);
    assert.equal(challenge.isDue(10 * PTO_MICROS), false, "no more than that");
  });

  test("RFC 9000 §8.2.4 validation fails after three PTOs without an answer, and a late one changes nothing", () => {
    const challenge = counting();
    challenge.start(1000, PTO_MICROS);
    challenge.take(1000);
    challenge.onTimeout(1000 + 3 * PTO_MICROS - 1);
    assert.equal(challenge.state, VALIDATION_PENDING);
    challenge.onTimeout(1000 + 3 * PTO_MICROS);
    assert.equal(challenge.state, VALIDATION_FAILED);
    assert.equal(challenge.onResponse(data(1), 0), false);
    assert.equal(challenge.deadlineMicros, Infinity);
  });

  test("a deadline is set exactly while validation is pending", () => {
    const challenge = counting();
    assert.equal(challenge.state, VALIDATION_IDLE);
    assert.equal(challenge.deadlineMicros, Infinity);
    challenge.start(0, PTO_MICROS);
    for (let i = 0; i < MAX_PATH_CHALLENGES; i++) {
      challenge.take(i * PTO_MICROS);
      assert.ok(challenge.deadlineMicros > i * PTO_MICROS && challenge.deadlineMicros <= 3 * PTO_MICROS);
    }
  });
});
