import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fromHex, toHex } from "../base/bytes.js";
import { LEVEL_APP, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL, type Level } from "../port/tls.js";
import { MAX_ACK_RANGES } from "../proto/limits.js";
import { FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import { FrameDecoder } from "./decode.js";
import { FrameRecorder } from "./recorder.contract.js";
import { FRAME_TYPES, frameAllowed, frameName, isAckEliciting, isProbing } from "./table.js";

const LEVEL_LETTERS: [string, Level][] = [
  ["I", LEVEL_INITIAL],
  ["H", LEVEL_HANDSHAKE],
  ["0", LEVEL_EARLY],
  ["1", LEVEL_APP],
];

/** RFC 9000 §12.4 table 3 with the exceptions of §12.5, and RFC 9221 §4: first and last type, packets, spec column, a body. */
const TABLE: [number, number, string, string, string, string][] = [
  [0x00, 0x00, "PADDING", "IH01", "NP", ""],
  [0x01, 0x01, "PING", "IH01", "", ""],
  [0x02, 0x02, "ACK", "IH_1", "NC", "05 00 00 05"],
  [0x03, 0x03, "ACK_ECN", "IH_1", "NC", "05 00 00 05 01 02 03"],
  [0x04, 0x04, "RESET_STREAM", "__01", "", "00 07 09"],
  [0x05, 0x05, "STOP_SENDING", "__01", "", "00 07"],
  [0x06, 0x06, "CRYPTO", "IH_1", "", "00 02 aabb"],
  [0x07, 0x07, "NEW_TOKEN", "___1", "", "02 aabb"],
  [0x08, 0x09, "STREAM", "__01", "F", "00 aabb"],
  [0x0a, 0x0b, "STREAM", "__01", "F", "00 02 aabb"],
  [0x0c, 0x0d, "STREAM", "__01", "F", "00 05 aabb"],
  [0x0e, 0x0f, "STREAM", "__01", "F", "00 05 02 aabb"],
  [0x10, 0x10, "MAX_DATA", "__01", "", "07"],
  [0x11, 0x11, "MAX_STREAM_DATA", "__01", "", "00 07"],
  [0x12, 0x12, "MAX_STREAMS_BIDI", "__01", "", "07"],
  [0x13, 0x13, "MAX_STREAMS_UNI", "__01", "", "07"],
  [0x14, 0x14, "DATA_BLOCKED", "__01", "", "07"],
  [0x15, 0x15, "STREAM_DATA_BLOCKED", "__01", "", "00 07"],
  [0x16, 0x16, "STREAMS_BLOCKED_BIDI", "__01", "", "07"],
  [0x17, 0x17, "STREAMS_BLOCKED_UNI", "__01", "", "07"],
  [0x18, 0x18, "NEW_CONNECTION_ID", "__01", "P", "01 00 02 aabb 000102030405060708090a0b0c0d0e0f"],
  [0x19, 0x19, "RETIRE_CONNECTION_ID", "___1", "", "00"],
  [0x1a, 0x1a, "PATH_CHALLENGE", "__01", "P", "0001020304050607"],
  [0x1b, 0x1b, "PATH_RESPONSE", "___1", "P", "0001020304050607"],
  [0x1c, 0x1c, "CONNECTION_CLOSE", "IH01", "N", "0a 06 02 6f6b"],
  [0x1d, 0x1d, "CONNECTION_CLOSE_APP", "__01", "N", "0a 02 6f6b"],
  [0x1e, 0x1e, "HANDSHAKE_DONE", "___1", "", ""],
  [0x1f, 0x1f, "IMMEDIATE_ACK", "___1", "", ""],
  [0x30, 0x30, "DATAGRAM", "__01", "", "aabb"],
  [0x31, 0x31, "DATAGRAM", "__01", "", "02 aabb"],
];

interface Outcome {
  error: number;
  frameType: number;
  reason: string;
  lines: string[];
  ackEliciting: boolean;
  nonProbing: boolean;
}

function decode(hex: string, level: Level = LEVEL_APP): Outcome {
  const bytes = fromHex(hex);
  const decoder = new FrameDecoder();
  const recorder = new FrameRecorder();
  const fine = decoder.decode(level, bytes, 0, bytes.length, recorder);
  assert.equal(decoder.errorCode === 0, fine);
  return {
    error: decoder.errorCode,
    frameType: decoder.errorFrameType,
    reason: decoder.errorReason,
    lines: recorder.lines,
    ackEliciting: decoder.ackEliciting,
    nonProbing: decoder.nonProbing,
  };
}

function accepts(hex: string, ...lines: string[]): void {
  const outcome = decode(hex);
  assert.equal(outcome.reason, "", hex);
  assert.deepEqual(outcome.lines, lines, hex);
}

function refuses(hex: string, code = FRAME_ENCODING_ERROR): void {
  const outcome = decode(hex);
  assert.equal(outcome.error, code, hex);
  assert.deepEqual(outcome.lines, [], hex);
  assert.notEqual(outcome.reason, "");
}

describe("frames by packet type", () => {
  for (const [first, last, name, packets, spec, body] of TABLE) {
    for (let type = first; type <= last; type++) {
      test(`RFC 9000 §12.4 ${name} (0x${type.toString(16)}) belongs in ${packets}`, () => {
        assert.equal(frameName(type), name);
        for (const [letter, level] of LEVEL_LETTERS) {
          const allowed = packets.includes(letter);
          const outcome = decode(`${type.toString(16).padStart(2, "0")} ${body}`, level);
          assert.equal(outcome.error, allowed ? 0 : PROTOCOL_VIOLATION, `level ${level}`);
          assert.equal(outcome.lines.length, allowed ? 1 : 0);
          if (!allowed) assert.equal(outcome.frameType, type);
          assert.equal(frameAllowed(type, level), allowed);
          if (!allowed) continue;
          assert.equal(outcome.ackEliciting, !spec.includes("N"));
          assert.equal(outcome.nonProbing, !spec.includes("P"));
        }
        assert.equal(isAckEliciting(type), !spec.includes("N"));
        assert.equal(isProbing(type), spec.includes("P"));
      });
    }
  }

  test("RFC 9000 §12.4 the table has every type, and no other", () => {
    const types = TABLE.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i));
    assert.deepEqual(types, [...Array.from({ length: FRAME_TYPES }, (_, i) => i), 0x30, 0x31]);
    for (const unknown of [FRAME_TYPES, 0x2f, 0x32, 0x40, 0xae, 0xb0, 2 ** 53 - 1]) {
      for (const [, level] of LEVEL_LETTERS) assert.equal(frameAllowed(unknown, level), false);
      assert.equal(isAckEliciting(unknown), false);
      assert.equal(isProbing(unknown), false);
      assert.match(frameName(unknown), /^UNKNOWN\(0x/);
    }
  });
});

describe("packets of frames", () => {
  test("RFC 9000 §12.4 a packet without frames is PROTOCOL_VIOLATION", () => refuses("", PROTOCOL_VIOLATION));

  test("RFC 9000 §12.4 an unknown frame type is FRAME_ENCODING_ERROR", () => {
    for (const hex of ["20", "2f", "32 00", "40ae", "40b0", "40ff", "8000ffff", "ffffffffffffffff"]) refuses(hex);
    assert.equal(decode("40ff 00").frameType, 0xff);
  });

  test("RFC 9000 §12.4 a frame type in a longer form is PROTOCOL_VIOLATION", () => {
    for (const hex of ["4001", "80000001", "c000000000000001", "401e", "4020", "4030", "80000040", "800000af"])
      refuses(hex, PROTOCOL_VIOLATION);
  });

  test("RFC 9000 §12.4 a cut frame type is FRAME_ENCODING_ERROR", () => {
    for (const hex of ["40", "80", "800000", "c0", "ffffffffffffff"]) refuses(hex);
  });

  test("RFC 9000 §12.4 a body cut anywhere is FRAME_ENCODING_ERROR and reaches nobody", () => {
    for (const [first, last, name, , , body] of TABLE) {
      const runsToEnd = first === 0x08 || first === 0x0c || first === 0x30;
      for (let type = first; type <= last; type++) {
        const whole = type.toString(16).padStart(2, "0") + body.replaceAll(" ", "");
        for (let length = 2; length < whole.length - (runsToEnd ? 4 : 0); length += 2) {
          const outcome = decode(`01${whole.slice(0, length)}`);
          assert.equal(outcome.error, FRAME_ENCODING_ERROR, `${name} ${whole} cut to ${length / 2}`);
          assert.equal(outcome.frameType, type);
          assert.deepEqual(outcome.lines, ["PING"]);
        }
      }
    }
  });

  test("draft-ietf-quic-ack-frequency §4 ACK_FREQUENCY, the one type of two bytes, is for 1-RTT packets", () => {
    const body = "40af 05 0a 4e20 03";
    accepts(`01 ${body} 01`, "PING", "ACK_FREQUENCY 5 10 3616 3", "PING");
    for (const [letter, level] of LEVEL_LETTERS) {
      const outcome = decode(body, level);
      assert.equal(outcome.error, letter === "1" ? 0 : PROTOCOL_VIOLATION);
      if (letter === "1") assert.deepEqual([outcome.ackEliciting, outcome.nonProbing], [true, true]);
      else assert.equal(outcome.frameType, 0xaf);
    }
    for (let length = 3; length < 7; length++) {
      const outcome = decode(body.replaceAll(" ", "").slice(0, 2 * length));
      assert.deepEqual([outcome.error, outcome.frameType, outcome.lines], [FRAME_ENCODING_ERROR, 0xaf, []]);
    }
    assert.equal(frameName(0xaf), "ACK_FREQUENCY");
  });

  test("several frames arrive in their order, a run of PADDING at once", () => {
    accepts("01 000000 08 04 61", "PING", "PADDING 3", "STREAM 4 0 61");
    accepts("0a 04 01 61 00 0b 04 00 1e", "STREAM 4 0 61", "PADDING 1", "STREAM 4 0  fin", "HANDSHAKE_DONE");
  });

  test("RFC 9000 §9.1 one frame that does not probe makes the packet a non-probing one", () => {
    const probes = "00 1a 0001020304050607 1b 0001020304050607 18 01 00 01 aa 000102030405060708090a0b0c0d0e0f";
    assert.equal(decode(probes).nonProbing, false);
    assert.equal(decode(`${probes} 01`).nonProbing, true);
    assert.equal(decode(`02 05 00 00 05 ${probes}`).nonProbing, true);
  });

  test("RFC 9000 §13.2 one frame that elicits an acknowledgement is enough", () => {
    assert.equal(decode("00 02 05 00 00 05 1d 00 00").ackEliciting, false);
    assert.equal(decode("00 02 05 00 00 05 01 00").ackEliciting, true);
  });

  test("decoding stops after the frame that closed the connection", () => {
    const decoder = new FrameDecoder();
    const recorder = new FrameRecorder();
    recorder.failAfter = 2;
    assert.equal(decoder.decode(LEVEL_APP, fromHex("01 10 05 01 21"), 0, 5, recorder), true);
    assert.deepEqual(recorder.lines, ["PING", "MAX_DATA 5"]);
  });

  test("frames before a bad one were handed over", () => {
    const outcome = decode("01 10 05 21");
    assert.equal(outcome.error, FRAME_ENCODING_ERROR);
    assert.deepEqual(outcome.lines, ["PING", "MAX_DATA 5"]);
  });

  test("one decoder takes packet after packet, whatever the last one was", () => {
    const decoder = new FrameDecoder();
    const recorder = new FrameRecorder();
    const buf = fromHex("ff 21 1a00 01 ff");
    assert.equal(decoder.decode(LEVEL_APP, buf, 1, 2, recorder), false);
    assert.equal(decoder.decode(LEVEL_APP, buf, 2, 4, recorder), false);
    assert.equal(decoder.decode(LEVEL_APP, buf, 4, 5, recorder), true);
    assert.deepEqual(recorder.lines, ["PING"]);
    assert.equal(decoder.ackEliciting, true);
  });
});

describe("ACK", () => {
  test("RFC 9000 §19.3.1 gaps and ranges count down from the largest", () => {
    // 20..18, then 2 missing more than the gap field says, 14..14, and 10..9
    accepts("02 14 07 02 02 02 00 02 01", "ACK 20 delay 7 18-20,14-14,9-10");
    accepts("03 00 4064 00 00 01 02 03", "ACK 0 delay 100 0-0 ecn 1 2 3");
  });

  test("RFC 9000 §19.3.1 a first range larger than the largest is FRAME_ENCODING_ERROR", () => {
    accepts("02 05 00 00 05", "ACK 5 delay 0 0-5");
    refuses("02 05 00 00 06");
  });

  test("RFC 9000 §19.3.1 a gap or range below packet number 0 is FRAME_ENCODING_ERROR", () => {
    refuses("02 0a 00 01 00 14 00");
    accepts("02 0a 00 01 00 08 00", "ACK 10 delay 0 10-10,0-0");
    refuses("02 0a 00 01 00 09 00");
    refuses("02 0a 00 01 00 08 01");
    refuses("02 0a 00 01 00 ffffffffffffffff 00");
    refuses("02 0a 00 01 00 00 ffffffffffffffff");
  });

  test("RFC 9000 §19.3 a range count that the packet cannot hold is FRAME_ENCODING_ERROR", () => {
    refuses("02 3f 00 03 00 00 00 00 00");
    refuses("02 3f 00 bfffffff 00 00 00 00 00");
    refuses("02 3f 00 ffffffffffffffff 00 00 00 00 00");
  });

  test("RFC 9000 §19.3.2 counts that are missing or cut are FRAME_ENCODING_ERROR", () => {
    for (const counts of ["", "01", "01 02", "01 02 40"]) refuses(`03 05 00 00 05 ${counts}`);
  });

  test("RFC 9000 §19.3 the largest delay saturates", () => {
    accepts("02 00 ffffffffffffffff 00 00", `ACK 0 delay ${2 ** 53 - 1} 0-0`);
  });

  test("more ranges than are kept are still checked to the last", () => {
    const ranges = 3 * MAX_ACK_RANGES;
    const head = `02 8000${(2 * ranges).toString(16).padStart(4, "0")} 00 4${ranges.toString(16).padStart(3, "0")} 00`;
    const fine = decode(head + "00 00".repeat(ranges));
    assert.equal(fine.reason, "");
    assert.equal(fine.lines[0]?.split(",").length, MAX_ACK_RANGES);
    assert.ok(fine.lines[0]?.startsWith(`ACK ${2 * ranges} delay 0 ${2 * ranges}-${2 * ranges},`));
    refuses(`${head + "00 00".repeat(ranges - 1)}00 01`);
  });
});

describe("limits of single frames", () => {
  test("RFC 9000 §19.6 CRYPTO that ends above 2^62-1 is FRAME_ENCODING_ERROR", () => {
    refuses("06 ffffffffffffffff 02 aabb");
    refuses("06 ffffffffffffffff 01 aa");
    accepts("06 ffffffffffffffff 00", `CRYPTO ${2 ** 53 - 1} `);
    accepts("06 fffffffffffffffe 01 aa", `CRYPTO ${2 ** 53 - 1} aa`);
    accepts("06 fffffffeffffffff 01 aa", `CRYPTO ${2 ** 53 - 1} aa`);
  });

  test("RFC 9000 §19.8 STREAM that ends above 2^62-1 is FRAME_ENCODING_ERROR", () => {
    refuses("0e 00 ffffffffffffffff 02 aabb");
    refuses("0c 00 ffffffffffffffff aabb");
    refuses("0c 00 ffffffffffffffff aa");
    accepts("0d 00 ffffffffffffffff", `STREAM 0 ${2 ** 53 - 1}  fin`);
    accepts("0c 00 fffffffffffffffe aa", `STREAM 0 ${2 ** 53 - 1} aa`);
  });

  test("RFC 9000 §19.7 an empty NEW_TOKEN is FRAME_ENCODING_ERROR", () => {
    refuses("07 00");
    accepts("07 01 aa", "NEW_TOKEN aa");
  });

  test("RFC 9000 §19.9 limits above 2^53-1 saturate", () => {
    accepts("10 c01fffffffffffff", `MAX_DATA ${2 ** 53 - 1}`);
    accepts("10 c020000000000000", `MAX_DATA ${2 ** 53 - 1}`);
    accepts("11 04 ffffffffffffffff", `MAX_STREAM_DATA 4 ${2 ** 53 - 1}`);
    accepts("14 c01ffffffffffffe", `DATA_BLOCKED ${2 ** 53 - 2}`);
  });

  test("RFC 9000 §19.11, §19.14 stream counts end at 2^60", () => {
    for (const type of ["12", "13", "16", "17"]) {
      const name = type < "14" ? "MAX_STREAMS" : "STREAMS_BLOCKED";
      const kind = type === "12" || type === "16" ? 0 : 1;
      accepts(`${type} d000000000000000`, `${name} ${kind} ${2 ** 53 - 1}`);
      accepts(`${type} c020000000000000`, `${name} ${kind} ${2 ** 53 - 1}`);
      refuses(`${type} d000000000000001`);
      refuses(`${type} d000000100000000`);
      refuses(`${type} d100000000000000`);
      refuses(`${type} ffffffffffffffff`);
    }
  });

  test("RFC 9000 §19.15 retire prior to above the sequence number is FRAME_ENCODING_ERROR", () => {
    const rest = "01 aa 000102030405060708090a0b0c0d0e0f";
    refuses(`18 01 0b ${rest}`);
    refuses(`18 00 01 ${rest}`);
    refuses(`18 ffffffff00000000 ffffffff00000001 ${rest}`);
    accepts(`18 0b 0b ${rest}`, "NEW_CONNECTION_ID 11 11 aa 000102030405060708090a0b0c0d0e0f");
    accepts(
      `18 ffffffff00000001 ffffffff00000001 ${rest}`,
      `NEW_CONNECTION_ID ${2 ** 53 - 1} ${2 ** 53 - 1} aa 000102030405060708090a0b0c0d0e0f`,
    );
  });

  test("RFC 9000 §19.15 connection ids of 1 to 20 bytes, no others", () => {
    for (const length of [0, 1, 20, 21, 255]) {
      const cid = toHex(new Uint8Array(length).fill(0x5a));
      const token = "000102030405060708090a0b0c0d0e0f";
      const hex = `18 01 00 ${length.toString(16).padStart(2, "0")} ${cid} ${token}`;
      if (length === 1 || length === 20) accepts(hex, `NEW_CONNECTION_ID 1 0 ${cid} ${token}`);
      else refuses(hex);
    }
  });

  test("RFC 9000 §19.19 a reason longer than the packet is FRAME_ENCODING_ERROR", () => {
    refuses("1c 00 00 7fff 6f6b");
    refuses("1d 00 ffffffffffffffff 6f6b");
    accepts("1c c000000000000102 06 02 6f6b", "CONNECTION_CLOSE transport 6 258 6f6b");
    accepts("1d ffffffffffffffff 00", `CONNECTION_CLOSE application ${2n ** 62n - 1n} `);
  });

  test("RFC 9000 §19.4, §19.5 error codes keep all 62 bits", () => {
    accepts("04 08 ffffffffffffffff 4100", `RESET_STREAM 8 ${2n ** 62n - 1n} 256`);
    accepts("05 08 e000000000000001", `STOP_SENDING 8 ${2n ** 61n + 1n}`);
  });

  test("a length above 2^53-1 never wraps", () => {
    for (const head of ["06 00", "07", "0a 00", "1c 00 00", "1d 00"]) refuses(`${head} ffffffffffffffff aabbcc`);
  });
});
