import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LEVEL_APP, LEVEL_HANDSHAKE } from "../port/tls.js";
import { AEAD_LIMIT_REACHED, KEY_UPDATE_ERROR } from "../proto/transport-error.js";
import { Side } from "./sides.contract.js";

const PTO_MICROS = 100_000;

/** Client and server with confirmed handshakes, one packet each way received and acknowledged. */
function confirmed(limits = {}): { client: Side; server: Side } {
  const client = new Side(false, limits);
  const server = new Side(true, limits);
  for (const side of [client, server]) side.keys.phases.onConfirmed();
  exchange(client, server, 0);
  return { client, server };
}

/** A packet each way, opened and acknowledged. */
function exchange(a: Side, b: Side, nowMicros: number): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
    [a, b],
  ] as const) {
    assert.equal(to.open(from.packet()), 0);
    assert.deepEqual(to.opened, [true]);
    to.keys.phases.afterOpen(nowMicros, PTO_MICROS);
    assert.equal(ack(to, from, nowMicros), 0);
  }
}

/** `from` acknowledges, in its last packet, everything that `to` sent. */
function ack(to: Side, from: Side, nowMicros: number): number {
  return to.keys.phases.onAcked(to.nextPn - 1, from.keys.keyPhase, nowMicros, PTO_MICROS);
}

describe("starting a key update", () => {
  test("RFC 9001 §6.1 not before the handshake is confirmed and a packet of this phase was acknowledged", () => {
    const side = new Side(false);
    assert.equal(side.keys.initiateUpdate(1e9), false);
    side.packet();
    assert.equal(side.keys.phases.onAcked(0, 0, 0, PTO_MICROS), 0);
    assert.equal(side.keys.initiateUpdate(1e9), false, "not confirmed");
    side.keys.phases.onConfirmed();
    assert.equal(side.keys.initiateUpdate(0), true);
    side.packet();
    assert.equal(side.keys.initiateUpdate(1e9), false, "not acknowledged");
    assert.equal(side.keys.phases.onAcked(0, 1, 0, PTO_MICROS), 0);
    assert.equal(side.keys.initiateUpdate(1e9), false, "an ACK of the old phase is not enough");
    assert.equal(side.keys.phases.onAcked(1, 1, 0, PTO_MICROS), 0);
    assert.equal(side.keys.initiateUpdate(1e9), true);
  });

  test("RFC 9001 §6.5 two updates of ours are three PTOs apart", () => {
    const { client, server } = confirmed();
    assert.equal(client.keys.initiateUpdate(1000), true);
    exchange(client, server, 2000);
    assert.equal(client.keys.canUpdate(2000 + 3 * PTO_MICROS - 1), false);
    assert.equal(client.keys.canUpdate(2000 + 3 * PTO_MICROS), true);
  });

  test("RFC 9001 §6.1 keys and phase change both ways, the header protection key does not", () => {
    const { client, server } = confirmed();
    const hp = client.keys.writeHp(LEVEL_APP);
    const before = client.packet().length;
    assert.equal(client.keys.keyPhase, 0);
    client.keys.initiateUpdate(0);
    assert.equal(client.keys.keyPhase, 1);
    assert.equal(client.keys.writeHp(LEVEL_APP), hp);
    assert.equal(client.packet().length, before);
    exchange(client, server, 0);
    assert.equal(server.keys.keyPhase, 1, "the peer follows");
  });

  test("KEY_UPDATE_PACKETS lowered: the phase flips each time, for many phases, and slots stay bounded", () => {
    const { client, server } = confirmed({ updatePackets: 20 });
    let nowMicros = 0;
    let flips = 0;
    for (let round = 0; round < 300; round++) {
      nowMicros += PTO_MICROS;
      for (const side of [client, server]) {
        side.keys.phases.onDeadline(nowMicros);
        if (side.keys.needsUpdate && side.keys.initiateUpdate(nowMicros)) flips++;
      }
      exchange(client, server, nowMicros);
      assert.ok(client.aead.packetKeys <= 4 && server.aead.packetKeys <= 4);
    }
    assert.ok(flips >= 25, `${flips} updates`);
  });

  test("both sides update at the same time and agree", () => {
    const { client, server } = confirmed();
    client.keys.initiateUpdate(0);
    server.keys.initiateUpdate(0);
    exchange(client, server, 0);
    assert.deepEqual([client.keys.keyPhase, server.keys.keyPhase], [1, 1]);
  });
});

describe("an update by the peer", () => {
  test("RFC 9001 §6.2 our send keys follow the first packet of the next phase", () => {
    const { client, server } = confirmed();
    client.keys.initiateUpdate(0);
    assert.equal(server.open(client.packet()), 0);
    assert.deepEqual(server.opened, [true]);
    assert.equal(server.keys.keyPhase, 1);
    assert.equal(server.opener.keyPhase(0), 1);
  });

  test("RFC 9001 §6.5 delayed packets of the old phase open for three PTOs after the update", () => {
    const { client, server } = confirmed();
    const late = [client.packet(), client.packet()];
    client.keys.initiateUpdate(0);
    const first = client.packet();
    assert.equal(server.open(first), 0);
    server.keys.phases.afterOpen(1000, PTO_MICROS);
    assert.equal(server.keys.phases.deadlineMicros, 1000 + 3 * PTO_MICROS);
    server.keys.phases.onDeadline(1000 + 3 * PTO_MICROS - 1);
    assert.equal(server.open(late[0]), 0);
    assert.deepEqual(server.opened, [true]);
    server.keys.phases.onDeadline(1000 + 3 * PTO_MICROS);
    assert.equal(server.open(late[1]), 0);
    assert.deepEqual(server.opened, [false]);
    assert.equal(server.keys.phases.deadlineMicros, Infinity);
  });

  test("RFC 9001 §6.1 old read keys stay until a packet with the new ones came", () => {
    const { client, server } = confirmed();
    server.keys.initiateUpdate(0);
    server.keys.phases.afterOpen(0, PTO_MICROS);
    server.keys.phases.onDeadline(1e12);
    assert.equal(server.open(client.packet()), 0);
    assert.deepEqual(server.opened, [true]);
  });

  test("old and new packets of one batch all open, in whatever order they came", () => {
    const { client, server } = confirmed();
    const packets = [client.packet(), client.packet()];
    client.keys.initiateUpdate(0);
    packets.push(client.packet(), client.packet());
    for (const order of [
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [2, 0, 3, 1],
    ]) {
      const fresh = confirmed();
      fresh.server.largestPn = server.largestPn;
      assert.equal(fresh.server.open(...order.map((index) => packets[index])), 0);
      assert.deepEqual(fresh.server.opened, [true, true, true, true]);
    }
  });

  test("9001-6.1-01 an update before the server sent anything after confirmation is KEY_UPDATE_ERROR", () => {
    const client = new Side(false);
    const server = new Side(true);
    client.keys.phases.initiate();
    assert.equal(server.open(client.packet()), KEY_UPDATE_ERROR);
    assert.deepEqual(server.opened, [false]);
  });

  test("RFC 9001 §6 a server may update as soon as it is confirmed, before the client knows", () => {
    const client = new Side(false);
    const server = new Side(true);
    client.keys.onSealed(LEVEL_HANDSHAKE, 0, 1); // its Finished left
    server.keys.phases.initiate();
    assert.equal(client.open(server.packet()), 0);
    assert.deepEqual(client.opened, [true]);
  });

  test("9001-6.1-01 an update that came before our Finished left is KEY_UPDATE_ERROR", () => {
    const client = new Side(false);
    const server = new Side(true);
    server.keys.phases.initiate();
    assert.equal(client.open(server.packet()), KEY_UPDATE_ERROR);
  });

  test("9001-6.2-01 a second update before we sent in the first is KEY_UPDATE_ERROR, in one batch or two", () => {
    for (const together of [true, false]) {
      const { client, server } = confirmed();
      client.keys.initiateUpdate(0);
      const one = client.packet();
      client.keys.phases.initiate();
      const two = client.packet();
      if (together) {
        assert.equal(server.open(one, two), KEY_UPDATE_ERROR);
        assert.deepEqual(server.opened, [true, false]);
      } else {
        assert.equal(server.open(one), 0);
        assert.equal(server.open(two), KEY_UPDATE_ERROR);
      }
    }
  });

  test("RFC 9001 §6.2 a second update after our packet of the first phase is accepted, old keys held or not", () => {
    const { client, server } = confirmed();
    client.keys.initiateUpdate(0);
    exchange(client, server, 0);
    client.keys.phases.initiate();
    assert.equal(server.open(client.packet()), 0);
    assert.deepEqual(server.opened, [true]);
    assert.equal(server.keys.keyPhase, 0);
  });

  test("9001-6.2-02 an ACK of new-phase packets in an old-phase packet is KEY_UPDATE_ERROR", () => {
    const { client, server } = confirmed();
    server.keys.initiateUpdate(0);
    server.packet();
    assert.equal(server.open(client.packet()), 0);
    assert.equal(ack(server, client, 0), KEY_UPDATE_ERROR);
  });

  test("9001-6.4-01 old keys for a higher packet number are KEY_UPDATE_ERROR, alone or in one batch with the new", () => {
    for (const together of [true, false]) {
      const { client, server } = confirmed();
      const pn = client.nextPn;
      const tooHigh = client.packet(pn + 1);
      client.keys.initiateUpdate(0);
      // The port refuses a number below the last under one key, and this key is new.
      const update = client.packet(pn);
      const error = together ? server.open(update, tooHigh) : server.open(update) || server.open(tooHigh);
      assert.equal(error, KEY_UPDATE_ERROR);
    }
  });
});

describe("what a forger can do with the Key Phase bit", () => {
  /** What a forgery with this Key Phase bit costs the server: packets opened. */
  function costOfForgery(client: Side, server: Side, phase: number): number {
    const forged = client.packet();
    forged[forged.length - 1] ^= 1;
    let cost = 0;
    for (const bit of [0, 0x04]) {
      const packet = forged.slice();
      packet[0] ^= bit;
      const opens = server.aead.opens;
      assert.equal(server.open(packet), 0);
      assert.deepEqual(server.opened, [false]);
      if (server.opener.keyPhase(0) === phase) cost = server.aead.opens - opens;
    }
    return cost;
  }

  test("RFC 9001 §6.3 forged flips change no key, derive nothing, and cost one open each", () => {
    const { client, server } = confirmed();
    const derived = server.aead.expands;
    assert.deepEqual([costOfForgery(client, server, 0), costOfForgery(client, server, 1)], [1, 1]);
    assert.equal(server.aead.expands, derived);
    assert.equal(server.keys.keyPhase, 0);
  });

  test("RFC 9001 §9.5 while old keys are held both phase bits of a forgery cost the same", () => {
    const { client, server } = confirmed();
    client.keys.initiateUpdate(0);
    assert.equal(server.open(client.packet()), 0);
    assert.deepEqual([costOfForgery(client, server, 0), costOfForgery(client, server, 1)], [2, 2]);
    assert.equal(server.keys.keyPhase, 1);
  });

  test("genuine packets open around forged flips of the same batch", () => {
    const { client, server } = confirmed();
    const packets = Array.from({ length: 6 }, () => client.packet());
    for (const index of [1, 4]) packets[index][0] ^= 0x04;
    assert.equal(server.open(...packets), 0);
    assert.deepEqual(server.opened, [true, false, true, true, false, true]);
  });
});

describe("limits of AEAD use", () => {
  test("9001-6.6-01 one failed open more than the integrity limit is AEAD_LIMIT_REACHED", () => {
    const { client, server } = confirmed({ integrityPackets: 10 });
    const forged = client.packet();
    forged[forged.length - 1] ^= 1;
    for (let i = 0; i < 10; i++) assert.equal(server.open(forged), 0);
    assert.equal(server.open(forged), AEAD_LIMIT_REACHED);
    assert.equal(server.keys.failedOpens, 11);
  });

  test("9001-6.6-02 the confidentiality limit asks for an update at half of it", () => {
    const { client } = confirmed({ confidentialityPackets: 100 });
    while (!client.keys.needsUpdate) client.packet();
    assert.equal(client.nextPn, 50);
    assert.equal(client.keys.initiateUpdate(1), true);
    assert.equal(client.keys.needsUpdate, false);
    assert.equal(client.keys.sealBudget(LEVEL_APP), 100);
  });

  test("9001-6.6-03 without an update the key is used up exactly at the limit", () => {
    const { client } = confirmed({ confidentialityPackets: 100 });
    while (client.keys.sealBudget(LEVEL_APP) > 1) client.packet();
    assert.equal(client.nextPn, 99);
    assert.equal(client.keys.onSealed(LEVEL_APP, 99, 1), AEAD_LIMIT_REACHED);
  });
});
