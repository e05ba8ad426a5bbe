/** Targets: each decoder of bytes from the network, alone. */

import assert from "node:assert/strict";
import { toHex } from "#src/base/bytes.js";
import { TlsFramer } from "#src/crypto/tls-framer.js";
import { addressKey, TokenKeys } from "#src/crypto/token.js";
import { FrameDecoder } from "#src/frame/decode.js";
import { decodeParams, encodeParams } from "#src/frame/params.js";
import { FrameRecorder } from "#src/frame/recorder.contract.js";
import { CryptoIn } from "#src/inqueue/crypto.js";
import { DROP_NONE, DROP_UNKNOWN_VERSION } from "#src/observe/drop-reason.js";
import {
  PACKET_HANDSHAKE,
  PACKET_INITIAL,
  PACKET_RETRY,
  PACKET_VERSION_NEGOTIATION,
  PacketHeader,
  parseHeader,
  writeLongHead,
} from "#src/packet/header.js";
import { verifyRetry, writeRetry } from "#src/packet/retry.js";
import { readVersions, writeVersionNegotiation } from "#src/packet/version-negotiation.js";
import { LEVEL_APP, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL, type Level } from "#src/port/tls.js";
import { LOCAL_CID_BYTES, MAX_CRYPTO_APP_BYTES, MAX_CRYPTO_HANDSHAKE_BYTES } from "#src/proto/limits.js";
import { defaultParams } from "#src/proto/params.js";
import { VERSION_1 } from "#src/proto/version.js";
import { Prng } from "#src/sim/prng.js";
import { HeldBytes } from "#src/stream/held.js";
import { NullAead } from "../support/null-aead.js";
import { ack, bytes, close, crypto, newConnectionId, reset, sample, stream, vi } from "../support/raw-frames.js";
import type { Target } from "./loop.js";

const LEVELS: readonly Level[] = [LEVEL_INITIAL, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_APP];
const CID = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const BODY = new Uint8Array(40);

function longPacket(type: number, version: number, ...rest: Uint8Array[]): Uint8Array {
  const head = new Uint8Array(7 + 2 * CID.length);
  writeLongHead(head, 0, 0xc0 | (type << 4), version, CID, CID);
  return bytes(head, ...rest);
}

/** RFC 9000 §17: a datagram walked packet by packet. */
const header: Target = {
  name: "header",
  maxBytes: 300,
  seeds: () => [
    bytes(0x40, CID, BODY),
    longPacket(PACKET_INITIAL, VERSION_1, vi(0), vi(BODY.length), BODY),
    longPacket(PACKET_INITIAL, VERSION_1, vi(3), BODY.subarray(0, 3), vi(BODY.length), BODY),
    bytes(longPacket(PACKET_HANDSHAKE, VERSION_1, vi(BODY.length), BODY), bytes(0x40, CID, BODY)),
    longPacket(PACKET_RETRY, VERSION_1, BODY),
    longPacket(0, 0, BODY),
  ],
  run(input) {
    const out = new PacketHeader();
    for (let at = 0, steps = 0; at < input.length; steps++) {
      assert.ok(steps <= input.length, "the walk ends");
      const drop = parseHeader(input, at, input.length, LOCAL_CID_BYTES, out);
      assert.ok(out.end > at && out.end <= input.length, `end ${out.end} of ${input.length} at ${at}`);
      if (drop === DROP_NONE || drop === DROP_UNKNOWN_VERSION) {
        assert.ok(out.dcidStart + out.dcidLength <= out.end && out.scidStart + out.scidLength <= out.end);
      }
      if (drop === DROP_NONE) {
        assert.ok(out.tokenStart <= out.tokenEnd && out.tokenEnd <= out.end);
        assert.ok(out.pnOffset >= at && out.pnOffset <= out.end);
        if (out.type === PACKET_VERSION_NEGOTIATION) readVersions(input, out);
      }
      at = out.end;
    }
  },
};

/** RFC 9000 §17.2.1. */
const versions: Target = {
  name: "version-negotiation",
  maxBytes: 200,
  seeds() {
    const buf = new Uint8Array(100);
    const end = writeVersionNegotiation(buf, 0, CID, CID, [VERSION_1, 0x1a2a3a4a], 0x55);
    return [buf.slice(0, end)];
  },
  run(input) {
    const out = new PacketHeader();
    if (parseHeader(input, 0, input.length, LOCAL_CID_BYTES, out) !== DROP_NONE) return;
    if (out.type !== PACKET_VERSION_NEGOTIATION) return;
    const list = readVersions(input, out);
    assert.ok(list === null || list.length * 4 === out.end - out.pnOffset);
  },
};

/** RFC 9000 §17.2.5: no tag but ours is right. */
const retry: Target = {
  name: "retry",
  maxBytes: 300,
  seeds: () => [genuineRetry],
  run(input) {
    const out = new PacketHeader();
    if (parseHeader(input, 0, input.length, LOCAL_CID_BYTES, out) !== DROP_NONE || out.type !== PACKET_RETRY) return;
    assert.ok(out.tokenEnd <= out.pnOffset && out.pnOffset <= out.end);
    if (verifyRetry(input, out, CID, retryAead)) assert.equal(toHex(input), toHex(genuineRetry), "a forged Retry");
  },
};
const retryAead = new NullAead(true);
const genuineRetry = makeRetry();

function makeRetry(): Uint8Array {
  const buf = new Uint8Array(200);
  const otherCid = Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9);
  return buf.slice(0, writeRetry(buf, 0, VERSION_1, CID, otherCid, BODY, CID, retryAead));
}

/** RFC 9000 §12.4, §19: the first byte chooses the level. What is decoded twice is the same. */
const frames: Target = {
  name: "frames",
  maxBytes: 400,
  seeds: () => [
    ...Array.from({ length: 0x20 }, (_, type) => bytes(3, sample(type))),
    bytes(3, sample(0xaf)),
    bytes(0, crypto(0, BODY), ack([0, 3])),
    bytes(3, stream(4, 2 ** 40, BODY, true), ack([90, 99], [80, 85], [1, 70]), newConnectionId(3, 1)),
    bytes(3, reset(4, 10, 9), close(10, BODY)),
  ],
  run(input) {
    const level = LEVELS[(input[0] ?? 0) & 3] as Level;
    const record = (): { lines: string; isFine: boolean; decoder: FrameDecoder } => {
      const decoder = new FrameDecoder();
      const recorder = new FrameRecorder();
      const isFine = decoder.decode(level, input, Math.min(1, input.length), input.length, recorder);
      return { lines: recorder.lines.join("\n"), isFine, decoder };
    };
    const first = record();
    if (!first.isFine) assert.ok(first.decoder.errorCode > 0 && first.decoder.errorReason !== "");
    assert.equal(record().lines, first.lines);
  },
};

/** RFC 9000 §18: what is accepted is encoded to something that means the same. */
const params: Target = {
  name: "params",
  maxBytes: 400,
  seeds() {
    const ours = { ...defaultParams(), initialMaxData: 5, initialScid: CID, maxIdleTimeoutMillis: 30_000 };
    const servers = { ...ours, originalDcid: CID, retryScid: CID, statelessResetToken: new Uint8Array(16) };
    return [bytes(0, encodeParams(ours, false)), bytes(1, encodeParams(servers, true))];
  },
  run(input) {
    const fromServer = ((input[0] ?? 0) & 1) === 1;
    const { params: read, error } = decodeParams(input.slice(1), fromServer);
    assert.equal(read === null, error !== "");
    if (read === null) return;
    const again = decodeParams(encodeParams(read, fromServer), fromServer);
    assert.deepEqual(again.params, read);
  },
};

/** RFC 8446 §4 as RFC 9001 §4 lets it through: role, then pieces of [level and length, bytes]. */
const tls: Target = {
  name: "tls-messages",
  maxBytes: 600,
  seeds() {
    const hello = bytes(1, 0, 0, 40, BODY);
    return [bytes(1, 0x3f, hello), bytes(0, 0x3f, bytes(2, 0, 0, 40, BODY), 0xb0, bytes(8, 0, 0, 2, 0, 0))];
  },
  run(input) {
    const framer = new TlsFramer(((input[0] ?? 0) & 1) === 1);
    let failed = 0;
    for (let at = 1; at < input.length; ) {
      const level = LEVELS[(input[at] as number) >> 6] as Level;
      const end = Math.min(input.length, at + 1 + ((input[at] as number) & 0x3f));
      const error = framer.push(level, input, at + 1, end);
      if (failed !== 0) assert.equal(error, failed, "an error stays");
      failed = error;
      at = end;
    }
  },
};

/** RFC 9000 §8.1: nothing but what we sealed opens. */
const token: Target = {
  name: "token",
  maxBytes: 600,
  seeds: () => [...genuineTokens.values()],
  run(input) {
    const opened = tokens.open(input, VERSION_1, TOKEN_ADDRESS, 1000);
    if (opened !== null) assert.ok(genuineTokens.has(toHex(input)), `a forged token is ${opened.kind}`);
  },
};
const TOKEN_ADDRESS = addressKey(Int32Array.of(0, 0, 0xffff, 0x7f000001, 443, 0, 0, 0), 0);
const tokens = new TokenKeys(new NullAead(true), new Prng(1, "token"), new Uint8Array(32));
const genuineTokens = new Map(
  [
    tokens.sealRetryToken(CID, CID, VERSION_1, TOKEN_ADDRESS, 1000),
    tokens.sealNewToken(VERSION_1, TOKEN_ADDRESS, 1000),
  ].map((sealed) => [toHex(sealed), sealed]),
);

/** RFC 9000 §7.5: pieces of [offset, length] of a stream whose byte at an offset is known. */
const cryptoStream: Target = {
  name: "crypto-stream",
  maxBytes: 200,
  seeds: () => [
    bytes(vi(0), vi(20), vi(40), vi(20), vi(20), vi(20)),
    bytes(vi(30_000), vi(100), vi(0), vi(30_000)),
    bytes(vi(0), vi(100), vi(50), vi(100), vi(2 ** 60), vi(4)),
  ],
  run(input) {
    const held = new HeldBytes(1 << 20);
    const stream = new CryptoIn(LEVEL_HANDSHAKE, held);
    const data = new Uint8Array(1 << 16);
    let taken = 0;
    for (let at = 0; at + 3 < input.length; at += 4) {
      const offset = ((input[at] as number) << 8) | (input[at + 1] as number);
      const length = ((input[at + 2] as number) << 4) | ((input[at + 3] as number) >> 4);
      for (let i = 0; i < length; i++) data[i] = (offset + i) * 31;
      const error = stream.push(offset, data, 0, length);
      assert.ok(
        held.recvBytes <= 2 * Math.max(MAX_CRYPTO_HANDSHAKE_BYTES, MAX_CRYPTO_APP_BYTES),
        `${held.recvBytes} held`,
      );
      if (error !== 0) break;
      if (((input[at + 3] as number) & 1) === 0) continue;
      for (const byte of stream.take() ?? []) assert.equal(byte, (taken++ * 31) & 0xff);
    }
    stream.discard();
    assert.equal(held.recvBytes, 0);
    assert.equal(held.recvRanges, 0);
  },
};

export const decoderTargets: readonly Target[] = [header, versions, retry, frames, params, tls, token, cryptoStream];
