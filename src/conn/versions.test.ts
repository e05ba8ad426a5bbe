/** Which version a connection may have, and what the Version Information of the peer has to say about it. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL } from "../port/tls.js";
import { VERSION_1, VERSION_2 } from "../proto/version.js";
import { firstVersion, preferredVersions, VersionState } from "./versions.js";

const RESERVED = 0x1a2a3a4a;
const noTls = (): never => assert.fail("no TLS session is asked for");

function make(isServer: boolean, original = VERSION_1, wanted: readonly number[] = []): VersionState {
  return new VersionState(isServer, original, wanted, noTls);
}

/** A client whose first flight answers a Version Negotiation packet. */
function second(version: number, wanted: readonly number[] = []): VersionState {
  const state = make(false, version === VERSION_1 ? VERSION_2 : VERSION_1, wanted);
  state.restart(version);
  return state;
}

describe("the version of a server", () => {
  const list = (...available: number[]): { chosen: number; available: number[] } => ({ chosen: VERSION_1, available });

  test("RFC 9368 §2.3 without a wish is the one that its client wants most and it speaks", () => {
    assert.equal(make(true).choose(list(VERSION_1, VERSION_2)), VERSION_1);
    assert.equal(make(true).choose(list(RESERVED, VERSION_2, VERSION_1)), VERSION_2);
    assert.equal(make(true).choose(null), VERSION_1);
  });

  test("RFC 9368 §2.3 with a wish is the one that it wants most and its client offers", () => {
    assert.equal(make(true, VERSION_1, [VERSION_2, VERSION_1]).choose(list(VERSION_1, VERSION_2)), VERSION_2);
    assert.equal(make(true, VERSION_1, [VERSION_2, VERSION_1]).choose(list(VERSION_1)), VERSION_1);
    assert.equal(make(true, VERSION_1, [VERSION_1]).choose(list(VERSION_2, VERSION_1)), VERSION_1);
  });

  test("RFC 9368 §2.3 there may be none", () => {
    const server = make(true, VERSION_1, [VERSION_2]);
    assert.equal(server.choose(null), 0);
    assert.equal(server.choose(list(VERSION_1, RESERVED)), 0);
    assert.notEqual(server.verdict(list(VERSION_1)), "");
    assert.equal(server.verdict(list(VERSION_1, VERSION_2)), "");
  });

  test("RFC 9368 §4 9368-4-06 the client chose the version of its first flight", () => {
    assert.equal(make(true).verdict(list(VERSION_1)), "");
    assert.equal(make(true).verdict(null), "");
    assert.notEqual(make(true).verdict({ chosen: VERSION_2, available: [VERSION_2] }), "");
  });

  test("RFC 9369 §4.1 Initial packets come in both versions, all others in one", () => {
    const server = make(true);
    server.settle(VERSION_2);
    const admitted = ([LEVEL_INITIAL, LEVEL_EARLY, LEVEL_HANDSHAKE] as const).map((level) => [
      server.admits(level, VERSION_1),
      server.admits(level, VERSION_2),
    ]);
    assert.deepEqual(admitted, [
      [true, true],
      [true, false],
      [false, true],
    ]);
    assert.equal(make(true).admits(LEVEL_INITIAL, VERSION_2), false, "before it chose");
  });
});

describe("the version of a client", () => {
  test("RFC 9369 §4.1 is open until it settles", () => {
    const client = make(false);
    assert.ok(client.admits(LEVEL_INITIAL, VERSION_2) && client.admits(LEVEL_HANDSHAKE, VERSION_2));
    assert.equal(client.admits(LEVEL_INITIAL, RESERVED), false);
    assert.equal(make(false, VERSION_1, [VERSION_1]).admits(LEVEL_INITIAL, VERSION_2), false, "not offered");
    client.settle(VERSION_2);
    assert.deepEqual([client.of(LEVEL_EARLY), client.of(LEVEL_INITIAL)], [VERSION_1, VERSION_2]);
    assert.equal(client.admits(LEVEL_INITIAL, VERSION_1), false);
    const kept = make(false);
    kept.settle(VERSION_1);
    assert.equal(kept.admits(LEVEL_HANDSHAKE, VERSION_2), false);
  });

  test("RFC 9368 §4 9368-4-11 the server says the same in its Version Information", () => {
    const client = make(false);
    assert.equal(client.verdict({ chosen: VERSION_1, available: [] }), "");
    assert.equal(client.verdict(null), "");
    assert.notEqual(client.verdict({ chosen: VERSION_2, available: [VERSION_2, VERSION_1] }), "");
    client.settle(VERSION_2);
    assert.equal(client.verdict({ chosen: VERSION_2, available: [VERSION_2] }), "");
    assert.notEqual(client.verdict({ chosen: VERSION_1, available: [VERSION_2, VERSION_1] }), "");
  });

  test("RFC 9368 §4 9368-4-08 9368-4-10 after a Version Negotiation packet it must", () => {
    assert.notEqual(second(VERSION_2).verdict(null), "");
    assert.notEqual(second(VERSION_2).verdict({ chosen: VERSION_2, available: [] }), "");
    assert.equal(second(VERSION_2).verdict({ chosen: VERSION_2, available: [VERSION_2, RESERVED] }), "");
  });

  test("RFC 9368 §8 a server of version 1 need not", () => {
    assert.equal(second(VERSION_1).verdict(null), "");
  });

  test("RFC 9368 §4 9368-4-09 what the server speaks would have led to the same version", () => {
    const both = [VERSION_1, VERSION_2];
    assert.notEqual(second(VERSION_1, [VERSION_2, VERSION_1]).verdict({ chosen: VERSION_1, available: both }), "");
    assert.equal(second(VERSION_1, both).verdict({ chosen: VERSION_1, available: both }), "");
    assert.equal(second(VERSION_2, [VERSION_2, VERSION_1]).verdict({ chosen: VERSION_2, available: both }), "");
    // the server removes version 2, but took this connection
    assert.equal(second(VERSION_1, [VERSION_1, VERSION_2]).verdict({ chosen: VERSION_1, available: [VERSION_2] }), "");
  });

  test("RFC 9368 §2.1 of a Version Negotiation packet it takes what it wants most", () => {
    assert.equal(make(false, VERSION_1).selectFrom([RESERVED, VERSION_2]), VERSION_2);
    assert.equal(make(false, 5, [VERSION_2, VERSION_1]).selectFrom([VERSION_1, VERSION_2]), VERSION_2);
    assert.equal(make(false, VERSION_1).selectFrom([RESERVED, 0]), 0);
  });

  test("RFC 9369 §6 begins with that of its ticket, else with version 1 where it may", () => {
    assert.equal(firstVersion([], 0), VERSION_1);
    assert.equal(firstVersion([], VERSION_2), VERSION_2);
    assert.equal(firstVersion([VERSION_2, VERSION_1], 0), VERSION_1);
    assert.equal(firstVersion([VERSION_2], VERSION_1), VERSION_2);
  });

  test("RFC 9368 §3 offers the version in use first, or what it was told to want", () => {
    assert.deepEqual(preferredVersions([], VERSION_2), [VERSION_2, VERSION_1]);
    assert.deepEqual(preferredVersions([VERSION_2, VERSION_1], VERSION_1), [VERSION_2, VERSION_1]);
  });
});
