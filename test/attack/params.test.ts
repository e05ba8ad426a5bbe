/** Transport parameters that say anything, at both roles: T37. What is legal is taken, the rest is one error, and no time is lost. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeParams } from "#src/frame/params.js";
import type { TransportParams } from "#src/proto/params.js";
import { TRANSPORT_PARAMETER_ERROR } from "#src/proto/transport-error.js";
import { Arena } from "../support/arena.js";
import { cpuMicros } from "../support/cpu.js";
import { bytes, padding, vi } from "../support/raw-frames.js";
import { LEVEL_APP, RawPeer } from "../support/raw-peer.js";

const ROLES = ["server", "client"] as const;
type Role = (typeof ROLES)[number];
const NOTHING = -1;
/** Ids of RFC 9000 §18.2, RFC 9221 and RFC 9368; a peer that takes grease_quic_bit has to read it, see test/conn/quic-bit. */
const KNOWN = [...Array.from({ length: 17 }, (_, id) => id), 0x11, 0x20];

/** The code that a handshake with these bytes behind the peer's parameters ends with, or -1. */
function verdict(role: Role, more: Uint8Array, leaveOut?: keyof TransportParams): number {
  const isClient = role === "client";
  const arena = new Arena();
  const peer = new RawPeer(arena, {
    isServer: isClient,
    params: (params) => {
      if (leaveOut !== undefined) Object.assign(params, { [leaveOut]: null });
      return bytes(encodeParams(params, isClient), more);
    },
  });
  if (isClient) arena.connect(peer);
  try {
    peer.connect();
  } catch (error) {
    if (peer.closeCode === NOTHING) throw error;
  }
  const { closeCode } = peer;
  arena.assertCleanEnd();
  return closeCode;
}

function param(id: number | bigint, value: Uint8Array, length = value.length): Uint8Array {
  return bytes(vi(id), vi(length), value);
}

for (const role of ROLES) {
  describe(`RFC 9000 §7.4, §18 hostile parameters at a ${role}, T37`, () => {
    test("every known id with every length from 0 to 17: taken, or TRANSPORT_PARAMETER_ERROR", () => {
      let taken = 0;
      for (const id of KNOWN) {
        for (let length = 0; length <= 17; length++) {
          const code = verdict(role, param(id, padding(length)));
          assert.ok(
            code === NOTHING || code === TRANSPORT_PARAMETER_ERROR,
            `0x${id.toString(16)} of ${length}: ${code}`,
          );
          if (code === NOTHING) taken++;
        }
      }
      assert.ok(taken > 0 && taken < 100, `${taken} were taken`);
    });

    test("twin: unknown ids with every length, ids at the borders of varints, and reserved ones, are ignored", () => {
      const ids = [
        0x21n,
        0x3fn,
        0x40n,
        0x3fffn,
        0x4000n,
        2n ** 30n - 1n,
        2n ** 30n,
        2n ** 53n,
        2n ** 62n - 1n,
        27n + 31n * 7n,
      ];
      for (const id of ids)
        for (const length of [0, 1, 17, 300]) assert.equal(verdict(role, param(id, padding(length))), NOTHING);
    });

    test("a block cut after each byte, and lengths beyond its end", () => {
      const block = bytes(param(0x7f01, padding(5)), param(0x7f02n, padding(70)));
      const [first] = [param(0x7f01, padding(5)).length];
      for (let size = 1; size < block.length; size++) {
        const expected = size === first ? NOTHING : TRANSPORT_PARAMETER_ERROR;
        assert.equal(verdict(role, block.subarray(0, size)), expected, `cut to ${size}`);
      }
      for (const length of [1, 64, 2 ** 14, 2 ** 30, Number.MAX_SAFE_INTEGER]) {
        assert.equal(verdict(role, bytes(vi(0x7f03), vi(length))), TRANSPORT_PARAMETER_ERROR, `${length}`);
      }
    });

    test("the same unknown id twice, apart or together", () => {
      const twice = bytes(param(0x7f01, padding(1)), param(0x7f02, padding(1)), param(0x7f01, padding(0)));
      assert.equal(verdict(role, twice), TRANSPORT_PARAMETER_ERROR);
    });

    test("thousands of unknown parameters and one of 16 KB cost milliseconds, and are ignored", () => {
      const many = bytes(...Array.from({ length: 4000 }, (_, index) => param(0x4000 + index, padding(0))));
      verdict(role, param(0x7f01, padding(16_000)));
      const started = cpuMicros();
      assert.equal(verdict(role, many), NOTHING);
      assert.equal(verdict(role, param(0x7f01, padding(16_000))), NOTHING);
      const spent = cpuMicros() - started;
      assert.ok(spent < 500_000, `${spent} µs`);
    });

    test("more than a ClientHello or EncryptedExtensions may have ends the attempt", () => {
      const code = verdict(role, param(0x7f01, padding(70_000)));
      assert.notEqual(code, NOTHING);
    });
  });
}

test("LEVEL_APP works after parameters at the edge of what is legal, T37 twin", () => {
  const arena = new Arena();
  const peer = new RawPeer(arena, {
    params: (params) => {
      params.initialMaxData = Number.MAX_SAFE_INTEGER;
      params.ackDelayExponent = 20;
      params.maxAckDelayMillis = 2 ** 14 - 1;
      params.maxUdpPayloadBytes = 1200;
      params.activeConnectionIdLimit = 2;
      params.maxIdleTimeoutMillis = Number.MAX_SAFE_INTEGER;
      return undefined;
    },
  }).connect();
  assert.ok(peer.lines(LEVEL_APP).includes("HANDSHAKE_DONE"));
  arena.assertCleanEnd();
});
