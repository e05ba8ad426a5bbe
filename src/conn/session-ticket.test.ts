/** What a client keeps comes back as it was, without what must not be remembered, or not at all. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MAX_PEER_TOKEN_BYTES } from "../proto/limits.js";
import { defaultParams } from "../proto/params.js";
import { openKept, openSessionTicket, sealPeerToken, sealSessionTicket } from "./session-ticket.js";

const params = {
  ...defaultParams(),
  initialMaxData: 12_345,
  initialMaxStreamsBidi: 7,
  activeConnectionIdLimit: 4,
  maxIdleTimeoutMillis: 30_000,
  ackDelayExponent: 10,
  maxAckDelayMillis: 100,
  minAckDelayMicros: 1000,
  originalDcid: Uint8Array.of(1),
  initialScid: Uint8Array.of(2),
  retryScid: Uint8Array.of(3),
  statelessResetToken: new Uint8Array(16),
};
const ticket = { allowsEarlyData: true, version: 1, alpn: "h3", params, tls: Uint8Array.of(1, 2, 3) };

describe("what a client keeps of a session", () => {
  test("RFC 9000 §7.4.1 all parameters but those that must not be remembered", () => {
    const opened = openSessionTicket(sealSessionTicket(ticket));
    assert.deepEqual(opened, {
      ...ticket,
      params: {
        ...defaultParams(),
        initialMaxData: 12_345,
        initialMaxStreamsBidi: 7,
        activeConnectionIdLimit: 4,
        maxIdleTimeoutMillis: 30_000,
      },
    });
  });

  test("bytes that are cut, or of something else, are no ticket", () => {
    const bytes = sealSessionTicket(ticket);
    for (let end = 0; end <= bytes.length - 3; end++) assert.equal(openSessionTicket(bytes.subarray(0, end)), null);
    assert.equal(openSessionTicket(Uint8Array.of(0, ...bytes.subarray(1))), null);
    assert.equal(openSessionTicket(new Uint8Array(200)), null);
  });

  test("RFC 9369 §5 a token with the version that it came in", () => {
    const token = Uint8Array.of(7, 8, 9);
    const sealed = sealPeerToken(0x6b3343cf, token);
    const opened = openKept({ ticket: sealSessionTicket(ticket), token: sealed });
    assert.deepEqual([opened.token, opened.tokenVersion, opened.ticket?.version], [token, 0x6b3343cf, 1]);
    const longest = new Uint8Array(MAX_PEER_TOKEN_BYTES);
    assert.deepEqual(openKept({ token: sealPeerToken(1, longest) }).token, longest);
    for (const bad of [token, sealed.subarray(0, 5), sealPeerToken(1, new Uint8Array(longest.length + 1))]) {
      assert.deepEqual(openKept({ token: bad }), { ticket: null, token: null, tokenVersion: 0 });
    }
  });
});
