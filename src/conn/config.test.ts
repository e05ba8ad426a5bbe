/** The range of every setting that a peer would close for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  MAX_ACK_THRESHOLD_PACKETS,
  MAX_CLOSE_PTOS,
  MAX_DATAGRAM_FRAME_BYTES,
  MAX_SEND_DATAGRAM_BYTES,
  MAX_STREAM_LIMIT,
  MIN_ACK_DELAY_MICROS,
} from "../proto/limits.js";
import { localParams, makeConfig } from "./config.js";

test("undefined keeps a default, and what is out of range is named with what is allowed", () => {
  assert.equal(makeConfig({}).maxDatagramBytes, 1452);
  assert.equal(makeConfig({ maxDatagramBytes: MAX_SEND_DATAGRAM_BYTES }).maxDatagramBytes, MAX_SEND_DATAGRAM_BYTES);
  assert.throws(
    () => makeConfig({ maxDatagramBytes: MAX_SEND_DATAGRAM_BYTES + 1 }),
    /maxDatagramBytes is 12289.*1200 to 12288/,
  );
  const most = MAX_DATAGRAM_FRAME_BYTES;
  assert.equal(makeConfig({ maxDatagramFrameBytes: most }).maxDatagramFrameBytes, most);
  assert.throws(() => makeConfig({ maxDatagramFrameBytes: most + 1 }), /maxDatagramFrameBytes is 65536.*0 to 65535/);
  assert.throws(() => makeConfig({ initialMaxStreamsBidi: MAX_STREAM_LIMIT + 1 }), /initialMaxStreamsBidi is/);
  assert.equal(makeConfig({ ackThresholdPackets: MAX_ACK_THRESHOLD_PACKETS }).ackThresholdPackets, 255);
  assert.throws(() => makeConfig({ ackThresholdPackets: MAX_ACK_THRESHOLD_PACKETS + 1 }), /1 to 255/);
  assert.throws(() => makeConfig({ ackThresholdPackets: 0 }), /1 to 255/);
  assert.equal(makeConfig({ closePtos: MAX_CLOSE_PTOS }).closePtos, 255);
  assert.throws(() => makeConfig({ closePtos: MAX_CLOSE_PTOS + 1 }), /3 to 255/);
  assert.throws(() => makeConfig({ closePtos: 2 }), /3 to 255/);
  assert.throws(() => makeConfig({ ackDelayExponent: 21 }), /ackDelayExponent is 21.*0 to 20/);
  assert.throws(() => makeConfig({ keepAliveMillis: Number.NaN }), /keepAliveMillis is NaN/);
});

test("draft-ietf-quic-ack-frequency §3 min_ack_delay is announced, never above max_ack_delay, or left out", () => {
  const announced = (config: Parameters<typeof makeConfig>[0]) => localParams(makeConfig(config)).minAckDelayMicros;
  assert.equal(announced({}), MIN_ACK_DELAY_MICROS);
  assert.equal(announced({ maxAckDelayMillis: 0 }), 0);
  assert.equal(announced({ ackFrequency: false }), null);
});
