import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fromHex } from "../base/bytes.js";
import { AEAD_AES_128_CCM, AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 } from "../port/aead.js";
import { LEVEL_APP, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL } from "../port/tls.js";
import {
  CONFIDENTIALITY_LIMIT_CCM,
  CONFIDENTIALITY_LIMIT_GCM,
  INTEGRITY_LIMIT_CCM,
  INTEGRITY_LIMIT_CHACHA,
  INTEGRITY_LIMIT_GCM,
  KEY_UPDATE_PACKETS,
} from "../proto/limits.js";
import { AEAD_LIMIT_REACHED } from "../proto/transport-error.js";
import { VERSION_1, VERSION_2 } from "../proto/version.js";
import { KeySet } from "./keys.js";
import { Opener } from "./open.js";
import { sealBatch } from "./seal.js";
import { countingAead, Side } from "./sides.contract.js";

const DCID = fromHex("8394c8f03e515708");
const SECRET = new Uint8Array(32).fill(7);

describe("ownership of key slots", () => {
  test("every slot is freed exactly once: by discard, by replacement, by destroy", () => {
    const aead = countingAead();
    const keys = new KeySet(aead, false);
    keys.installInitial(VERSION_1, DCID);
    assert.deepEqual([aead.packetKeys, aead.headerKeys], [2, 2]);
    keys.installInitial(VERSION_1, fromHex("0102030405060708"));
    assert.deepEqual([aead.packetKeys, aead.headerKeys], [2, 2], "after a Retry");
    keys.install(LEVEL_EARLY, "write", AEAD_AES_128_GCM, SECRET, VERSION_1);
    keys.install(LEVEL_HANDSHAKE, "read", AEAD_AES_128_GCM, SECRET, VERSION_1);
    keys.install(LEVEL_HANDSHAKE, "write", AEAD_AES_128_GCM, SECRET, VERSION_1);
    keys.discard(LEVEL_INITIAL);
    keys.discard(LEVEL_INITIAL);
    assert.deepEqual([aead.packetKeys, aead.headerKeys], [3, 3]);
    keys.install(LEVEL_APP, "read", AEAD_AES_256_GCM, new Uint8Array(48).fill(7), VERSION_1);
    keys.install(LEVEL_APP, "write", AEAD_AES_256_GCM, new Uint8Array(48).fill(8), VERSION_1);
    assert.deepEqual([aead.packetKeys, aead.headerKeys], [6, 5], "read keys of the next phase are there");
    keys.phases.initiate();
    assert.deepEqual([aead.packetKeys, aead.headerKeys], [7, 5], "and those of the previous one");
    keys.destroy();
    keys.destroy();
    assert.deepEqual([aead.packetKeys, aead.headerKeys], [0, 0]);
  });

  test("RFC 9369 §4.1 Initial packets of two versions can be read in turn, one is written", () => {
    const aead = countingAead();
    const counts = (): number[] => [aead.packetKeys, aead.headerKeys];
    const keys = new KeySet(aead, true);
    keys.installInitial(VERSION_1, DCID);
    const first = [keys.readKey(LEVEL_INITIAL), keys.readHp(LEVEL_INITIAL)];
    const current = (): number[] => [keys.readKey(LEVEL_INITIAL), keys.readHp(LEVEL_INITIAL)];
    const written = keys.writeKey(LEVEL_INITIAL);
    keys.readInitial(VERSION_1, DCID);
    assert.deepEqual([current(), counts()], [first, [2, 2]], "nothing is made for the version in place");
    keys.readInitial(VERSION_2, DCID);
    const second = current();
    assert.notDeepEqual(second, first);
    assert.deepEqual(counts(), [3, 3]);
    assert.equal(keys.writeKey(LEVEL_INITIAL), written);
    keys.readInitial(VERSION_1, DCID);
    assert.deepEqual([current(), counts()], [first, [3, 3]]);
    keys.readInitial(VERSION_2, DCID);
    keys.writeInitial(VERSION_2, DCID);
    assert.deepEqual([current(), counts()], [second, [3, 3]]);
    keys.installInitial(VERSION_2, DCID);
    assert.deepEqual(counts(), [2, 2], "a new beginning has one version");
    keys.readInitial(VERSION_1, DCID);
    keys.discard(LEVEL_INITIAL);
    keys.readInitial(VERSION_1, DCID);
    assert.deepEqual(counts(), [0, 0]);
  });

  test("RFC 9001 §4.9 a discarded level can neither read nor write, and is told from one that is yet to come", () => {
    const keys = new KeySet(countingAead(), true);
    keys.installInitial(VERSION_1, DCID);
    assert.deepEqual([keys.canRead(LEVEL_INITIAL), keys.canWrite(LEVEL_INITIAL)], [true, true]);
    assert.deepEqual([keys.canRead(LEVEL_HANDSHAKE), keys.wasDiscarded(LEVEL_HANDSHAKE)], [false, false]);
    keys.discard(LEVEL_INITIAL);
    assert.deepEqual([keys.canRead(LEVEL_INITIAL), keys.canWrite(LEVEL_INITIAL)], [false, false]);
    assert.equal(keys.wasDiscarded(LEVEL_INITIAL), true);
  });

  test("directions come one by one, and the caller's secret is left alone", () => {
    const keys = new KeySet(countingAead(), true);
    const secret = SECRET.slice();
    keys.install(LEVEL_APP, "write", AEAD_AES_128_GCM, secret, VERSION_1);
    assert.deepEqual([keys.canRead(LEVEL_APP), keys.canWrite(LEVEL_APP)], [false, true]);
    assert.deepEqual(secret, SECRET);
  });
});

describe("1-RTT packets in the clear", () => {
  test("have one slot each way, no tag and no limit, and nothing else of the connection is in the clear", () => {
    const aead = countingAead();
    const keys = new KeySet(aead, false);
    keys.installInitial(VERSION_1, DCID);
    keys.usePlain();
    for (const direction of ["read", "write"] as const) {
      keys.install(LEVEL_HANDSHAKE, direction, AEAD_AES_128_GCM, SECRET, VERSION_1);
      keys.install(LEVEL_APP, direction, AEAD_AES_128_GCM, SECRET, VERSION_1);
    }
    assert.deepEqual([aead.packetKeys, aead.headerKeys], [6, 6]);
    assert.deepEqual([keys.isPlain, keys.appTagBytes, keys.sealBudget(LEVEL_APP)], [true, 0, Infinity]);
    assert.equal(keys.sealBudget(LEVEL_HANDSHAKE), CONFIDENTIALITY_LIMIT_GCM);
    assert.equal(keys.onSealed(LEVEL_APP, 0, 2 ** 40), 0);
    assert.deepEqual([keys.needsUpdate, keys.requestUpdate(), keys.canUpdate(1e15)], [false, false, false]);
    const { phases } = keys;
    for (const phase of [0, 1]) assert.equal(phases.readKeyFor(phase, 5), phases.readSlot);
    assert.deepEqual([phases.onOpened(phases.readSlot, 5), phases.onAcked(0, 1, 0, 0)], [0, 0]);
    phases.rest();
    keys.destroy();
    assert.deepEqual([aead.packetKeys, aead.headerKeys], [0, 0]);
  });

  test("are decided before there are keys", () => {
    const keys = new KeySet(countingAead(), true);
    keys.install(LEVEL_APP, "write", AEAD_AES_128_GCM, SECRET, VERSION_1);
    assert.throws(() => keys.usePlain());
  });
});

describe("RFC 9001 §6.6 limits by AEAD", () => {
  function with1Rtt(aeadId: typeof AEAD_AES_128_GCM | typeof AEAD_AES_128_CCM | typeof AEAD_CHACHA20_POLY1305): KeySet {
    return new Side(false, {}, aeadId).keys;
  }

  test("packets sealed with one key", () => {
    assert.equal(with1Rtt(AEAD_AES_128_GCM).sealBudget(LEVEL_APP), CONFIDENTIALITY_LIMIT_GCM);
    assert.equal(with1Rtt(AEAD_AES_128_CCM).sealBudget(LEVEL_APP), CONFIDENTIALITY_LIMIT_CCM);
    assert.equal(with1Rtt(AEAD_CHACHA20_POLY1305).sealBudget(LEVEL_APP), Infinity);
  });

  test("we want new keys after KEY_UPDATE_PACKETS, and with CCM at half its limit", () => {
    const gcm = with1Rtt(AEAD_AES_128_GCM);
    assert.equal(gcm.onSealed(LEVEL_APP, 0, KEY_UPDATE_PACKETS - 1), 0);
    assert.equal(gcm.needsUpdate, false);
    gcm.onSealed(LEVEL_APP, 1, 1);
    assert.equal(gcm.needsUpdate, true);
    const chacha = with1Rtt(AEAD_CHACHA20_POLY1305);
    chacha.onSealed(LEVEL_APP, 0, KEY_UPDATE_PACKETS);
    assert.equal(chacha.needsUpdate, true, "although it has no limit of its own");
    const ccm = with1Rtt(AEAD_AES_128_CCM);
    ccm.onSealed(LEVEL_APP, 0, Math.ceil(CONFIDENTIALITY_LIMIT_CCM / 2));
    assert.equal(ccm.needsUpdate, true);
  });

  test("packets that did not open, over the whole connection", () => {
    for (const [aeadId, limit] of [
      [AEAD_AES_128_GCM, INTEGRITY_LIMIT_GCM],
      [AEAD_AES_128_CCM, INTEGRITY_LIMIT_CCM],
      [AEAD_CHACHA20_POLY1305, INTEGRITY_LIMIT_CHACHA],
    ] as const) {
      const keys = with1Rtt(aeadId);
      keys.failedOpens = Math.floor(limit) - 1;
      assert.equal(keys.onOpenFailed(LEVEL_APP), 0);
      assert.equal(keys.onOpenFailed(LEVEL_APP), AEAD_LIMIT_REACHED);
    }
  });

  test("Handshake keys have the limit too, and no update", () => {
    const keys = new KeySet(countingAead(), true, { confidentialityPackets: 3 });
    keys.install(LEVEL_HANDSHAKE, "write", AEAD_AES_128_GCM, SECRET, VERSION_1);
    assert.equal(keys.onSealed(LEVEL_HANDSHAKE, 0, 2), 0);
    assert.equal(keys.onSealed(LEVEL_HANDSHAKE, 2, 1), AEAD_LIMIT_REACHED);
  });
});

describe("opening and sealing batches", () => {
  test("a full table takes no more, and begin empties it", () => {
    const side = new Side(false);
    const opener = new Opener(side.aead, 2);
    opener.begin(new Uint8Array(100));
    assert.deepEqual(
      [opener.add(0, 1, 40, 0), opener.add(40, 41, 80, 0), opener.add(80, 81, 100, 0)],
      [true, true, false],
    );
    opener.begin(new Uint8Array(100));
    assert.equal(opener.count, 0);
    assert.equal(opener.run(side.keys, LEVEL_APP, -1), 0);
  });

  test("datagrams that are one short-header packet go in until one is not, is too short, or the table is full", () => {
    const lengths = [60, 29, 28, 60, 60, 60, 60];
    const buf = new Uint8Array(7 * 60).fill(0x40);
    buf[3 * 60] = 0xc0; // long header
    buf[5 * 60] = 0x00; // fixed bit
    const rows = Int32Array.from(lengths.flatMap((length, i) => [i * 60, length, 0, i % 3]));
    const rx = { buf, rows, sources: new Int32Array(10), count: 7, sourceCount: 1, socket: 0 };
    const opener = new Opener(new Side(false).aead, 3);
    opener.begin(buf);
    const added = [0, 2, 3, 4, 5, 6, 6].map((from) => opener.addShort(rx, from, 7, 9));
    assert.deepEqual(added, [2, 2, 3, 5, 5, 6, 6], "29 bytes are the least: 9, the sample and 4");
    assert.equal(opener.isFull, true);
    assert.deepEqual([opener.packetStart(2), opener.packetEnd(2), opener.tag(2)], [240, 300, 1]);
    opener.begin(buf);
    assert.equal(opener.addShort(rx, 3, 7, 9, true), 3, "a long header is one with any fixed bit");
    assert.equal(opener.addShort(rx, 4, 7, 9, true), 7, "RFC 9287 §3 the fixed bit may be missing");
  });

  test("9001-5.4.2-01 a packet without room for the sample is neither opened nor counted as a forgery", () => {
    const client = new Side(false);
    const server = new Side(true);
    const whole = client.packet();
    assert.equal(server.open(whole.slice(0, 20), whole), 0);
    assert.deepEqual(server.opened, [false, true]);
    assert.equal(server.keys.failedOpens, 0);
  });

  test("9001-5.5-01 forged packets are counted and the others of the batch open", () => {
    const client = new Side(false);
    const server = new Side(true);
    const packets = [client.packet(), client.packet(), client.packet()];
    packets[1][8] ^= 0x80;
    assert.equal(server.open(...packets), 0);
    assert.deepEqual(server.opened, [true, false, true]);
    assert.equal(server.keys.failedOpens, 1);
    assert.deepEqual([server.opener.pn(0), server.opener.pn(2)], [0, 2]);
    assert.deepEqual([server.opener.packetStart(2), server.opener.packetEnd(2)], [46, 69]);
  });

  test("packet numbers above 2^32 open", () => {
    const client = new Side(false);
    const server = new Side(true);
    // Sealed by hand: packet() writes the low word only.
    const pn = 2 ** 40 + 5;
    const buf = new Uint8Array(23);
    buf.set([0x41, 0, 5, 1]);
    const { keys } = client;
    const rows = Int32Array.of(0, 1, 2, 7, keys.writeKey(LEVEL_APP), keys.writeHp(LEVEL_APP), pn | 0, 2 ** 8);
    sealBatch(client.aead, { buf, rows, count: 1 });
    server.largestPn = 2 ** 40;
    assert.equal(server.open(buf), 0);
    assert.deepEqual([server.opened, server.opener.pn(0)], [[true], pn]);
  });

  test("a refused seal row is a bug of ours and throws", () => {
    const side = new Side(false);
    const rows = Int32Array.of(0, 1, 2, 7, side.keys.writeKey(LEVEL_APP), side.keys.writeHp(LEVEL_APP), 0, 0);
    const batch = { buf: new Uint8Array(23), rows, count: 1 };
    sealBatch(side.aead, batch);
    assert.throws(() => sealBatch(side.aead, batch), /seal refused row 0 of 1/);
    sealBatch(side.aead, { ...batch, count: 0 });
  });
});
