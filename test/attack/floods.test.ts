import { ACTIVE_CIDS } from "#src/proto/limits.js";
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "#src/conn/connection.js";
import { CONNECTION_ID_LIMIT_ERROR, KEY_UPDATE_ERROR, PROTOCOL_VIOLATION } from "#src/proto/transport-error.js";
import { Arena } from "../support/arena.js";
import { ack, bytes, ints, newConnectionId, padding, pathChallenge, PING, vi } from "../support/raw-frames.js";
import { Bystander, LEVEL_APP, RawPeer, type RawPeerOptions } from "../support/raw-peer.js";

const ROLES = ["server", "client"] as const;
type Role = (typeof ROLES)[number];
const NONE = -1;

interface Scene {
  arena: Arena;
  peer: RawPeer;
  conn: Connection;
  bystander: Bystander | null;
}

function scene(role: Role, options: RawPeerOptions = {}): Scene {
  const arena = new Arena();
  const bystander = role === "server" ? new Bystander(arena) : null;
  const peer = new RawPeer(arena, { ...options, isServer: role === "client" });
  if (role === "client") arena.connect(peer);
  peer.connect();
  const conn = arena.conns.at(-1);
  assert.ok(conn !== undefined);
  arena.advance(100_000);
  peer.ackAll(LEVEL_APP);
  peer.forget();
  return { arena, peer, conn, bystander };
}

function finish({ arena, bystander }: Scene): void {
  bystander?.assertServed();
  arena.assertCleanEnd();
}

/** RETIRE_CONNECTION_ID frames that came. */
function retired(peer: RawPeer): number[] {
  const lines = peer.lines(LEVEL_APP).filter((line) => line.startsWith("RETIRE_CONNECTION_ID"));
  return lines.map((line) => Number(line.split(" ")[1]));
}

/** The ids that were issued to the peer. */
function issued(peer: RawPeer): { seq: number; cid: Uint8Array }[] {
  const lines = peer.lines(LEVEL_APP).filter((line) => line.startsWith("NEW_CONNECTION_ID"));
  return lines.map((line) => {
    const words = line.split(" ");
    return { seq: Number(words[1]), cid: Uint8Array.from(Buffer.from(words[3], "hex")) };
  });
}

for (const role of ROLES) {
  describe(`connection ids at a ${role}, T05, T06`, () => {
    const token = padding(16).fill(9);
    const cid = padding(8).fill(9);
    const cases: [string, number, Uint8Array[]][] = [
      [
        "9000-5.1.1-01 one id above the limit",
        CONNECTION_ID_LIMIT_ERROR,
        range(1, ACTIVE_CIDS).map((seq) => newConnectionId(seq, 0)),
      ],
      ["9000-5.1.1-01 as many as the limit", NONE, range(1, ACTIVE_CIDS - 1).map((seq) => newConnectionId(seq, 0))],
      ["9000-5.1.2-01 more, but the old ones are retired", NONE, range(1, 12).map((seq) => newConnectionId(seq, seq))],
      ["9000-19.15-06 the same frame again and again", NONE, range(1, 20).map(() => newConnectionId(1, 0))],
      [
        "9000-19.15-05 one id under two numbers",
        PROTOCOL_VIOLATION,
        [newConnectionId(1, 0, cid), newConnectionId(2, 0, cid)],
      ],
      ["9000-19.15-05 one number for two ids", PROTOCOL_VIOLATION, [newConnectionId(1, 0), newConnectionId(1, 0, cid)]],
      [
        "9000-10.3.2-01 one token for two ids",
        PROTOCOL_VIOLATION,
        [newConnectionId(1, 0, cid, token), newConnectionId(2, 0, padding(8), token)],
      ],
      ["9000-19.15-08 retire_prior_to that falls", NONE, [newConnectionId(5, 5), newConnectionId(6, 3)]],
      ["9000-19.16-01 RETIRE of a number never sent", PROTOCOL_VIOLATION, [ints(0x19, 1000)]],
      ["RETIRE of 2^62-1", PROTOCOL_VIOLATION, [ints(0x19, 2n ** 62n - 1n)]],
      ["9000-19.16-02 RETIRE of the id that carries it", PROTOCOL_VIOLATION, [ints(0x19, 0)]],
    ];
    for (const [name, code, frames] of cases) {
      test(`RFC 9000 §5.1, §19.15, §19.16 ${name}`, () => {
        const at = scene(role);
        for (const frame of frames) at.peer.send(LEVEL_APP, frame);
        assert.equal(at.peer.closeCode, code);
        finish(at);
      });
    }

    test("9000-5.1.2-03, 9000-19.15-07 retired ids are not used and are given back", () => {
      const at = scene(role);
      at.peer.scid = bytes([0xc1, 0xd0], vi(5, 8)).slice(0, 10);
      at.peer.send(LEVEL_APP, newConnectionId(5, 5));
      at.peer.send(LEVEL_APP, newConnectionId(2, 0));
      at.arena.advance(100_000);
      assert.deepEqual(
        [...new Set(retired(at.peer))].sort((a, b) => a - b),
        [0, 2],
      );
      assert.equal(at.peer.unread.length, 0, "everything goes to the new id");
      finish(at);
    });

    test("9000-19.15-04 NEW_CONNECTION_ID from a peer with an empty id", () => {
      const at = scene(role, { scid: padding(0) });
      at.peer.send(LEVEL_APP, newConnectionId(1, 0));
      assert.equal(at.peer.closeCode, PROTOCOL_VIOLATION);
      finish(at);
    });

    for (const step of [1, 1000, 2 ** 40]) {
      test(`T05 CVE-2024-22189 retirement without acknowledgement, numbers ${step} apart`, () => {
        const at = scene(role);
        const pending = () => (at.peer.packets = at.peer.packets.slice(-200));
        let frames = 0;
        for (; frames < 100 && at.conn.closeInfo === null; frames++) {
          const seq = (frames + 1) * step;
          at.peer.sendPackets(at.peer.packet(LEVEL_APP, [newConnectionId(seq, seq)]));
          at.peer.scid = bytes([0xc1, 0xd0], vi(seq, 8));
          pending();
        }
        assert.ok(frames < 100, "never ends");
        assert.equal(Number(at.conn.closeInfo?.code), CONNECTION_ID_LIMIT_ERROR);
        finish(at);
      });
    }

    test("T06 a peer that retires each new id at once: few live ids, and ever fewer new ones", () => {
      const at = scene(role);
      const { arena, peer, conn } = at;
      const spare = conn.localIds.live.filter((id) => id.seq > 0);
      assert.ok(spare.length > 0);
      let sentIds = 0;
      for (let round = 0; round < 2000; round++) {
        const live = conn.localIds.live;
        assert.ok(live.length <= ACTIVE_CIDS);
        const victims = live.filter((id) => id.seq > 0 && !id.unsent).map((id) => ints(0x19, id.seq));
        sentIds += issued(peer).length;
        peer.forget();
        if (victims.length === 0) peer.send(LEVEL_APP, PING);
        else peer.send(LEVEL_APP, ...victims);
        arena.nowMicros += 1000;
      }
      assert.ok(sentIds <= 64 + ACTIVE_CIDS + 2 * ACTIVE_CIDS, `${sentIds} ids in two seconds`);
      assert.equal(conn.closeInfo, null);
      arena.advance(10_000_000);
      peer.send(LEVEL_APP, PING);
      finish(at);
    });

    test("9000-5.1.1-02 a packet to each issued id is accepted", () => {
      const arena = new Arena();
      const peer = new RawPeer(arena, { isServer: role === "client" });
      if (role === "client") arena.connect(peer);
      peer.connect();
      const ids = issued(peer);
      assert.equal(ids.length, ACTIVE_CIDS - 1);
      const [conn] = arena.conns;
      for (const { cid } of ids) {
        const before = conn.counters.packetsReceived;
        arena.send(peer, peer.packet(LEVEL_APP, [PING], { dcid: cid }));
        assert.equal(conn.counters.packetsReceived, before + 1);
      }
      arena.assertCleanEnd();
    });
  });

  describe(`acknowledgements at a ${role}, T03, T04, T44`, () => {
    for (const scid of [undefined, padding(0)]) {
      const kind = scid === undefined ? "an id of 8 bytes" : "an empty id";
      test(`CVE-2026-63075 70,000 packets from a peer with ${kind} that acknowledges nothing: still answered, state is bounded`, () => {
        const at = scene(role, scid === undefined ? {} : { scid });
        const { arena, peer, conn } = at;
        for (let i = 0; i < 35_000; i++) {
          const stale = ints(0x10, 1); // asks for an acknowledgement; so many PINGs would end the connection
          arena.deliver(peer, [peer.packet(LEVEL_APP, [stale]), peer.packet(LEVEL_APP, [stale])]);
          arena.pump();
          if (i % 1000 === 0) peer.forget();
          arena.nowMicros += 100;
        }
        peer.forget();
        peer.send(LEVEL_APP, PING, PING);
        peer.send(LEVEL_APP, PING);
        assert.ok(
          peer.lines(LEVEL_APP).some((line) => line.startsWith("ACK")),
          "still acknowledged",
        );
        assert.ok(conn.recovery.sent[2].flags.length <= 32_768);
        assert.ok(arena.advance(1_000_000) <= 10);
        finish(at);
      });
    }

    test("a peer with an empty id that only sends PINGs leaves the congestion window to the application", () => {
      const at = scene(role, { scid: padding(0) });
      const { arena, peer, conn } = at;
      for (let i = 0; i < 2000; i++) peer.sendPackets(peer.packet(LEVEL_APP, [PING]));
      peer.forget();
      const id = conn.open(0);
      conn.write(id, new Uint8Array(10), 0, 10, true);
      arena.advance(100_000);
      assert.ok(peer.lines(LEVEL_APP).some((line) => line.startsWith(`STREAM ${id}`)));
      finish(at);
    });

    test("T03 9000-13.2.3-01 every second number only: ranges are bounded, and the ledger is flat", () => {
      const at = scene(role);
      const { arena, peer, conn } = at;
      const held = conn.heldBytes();
      for (let i = 0; i < 5000; i++) {
        peer.nextPn[2]++;
        arena.deliver(peer, [peer.packet(LEVEL_APP, [PING])]);
        arena.pump();
        if (i % 100 === 0) peer.forget();
      }
      assert.ok(conn.space(2).received.count <= 128);
      assert.ok(conn.heldBytes() - held < 65_536);
      finish(at);
    });

    test("T04 9000-13.2.1-01 20,000 repeats of one ACK cause no packet", () => {
      const at = scene(role);
      const { arena, peer } = at;
      const before = arena.endpoint.counters.datagramsSent;
      const frame = ack([0, 0]);
      for (let i = 0; i < 2000; i++) {
        arena.deliver(
          peer,
          Array.from({ length: 10 }, () => peer.packet(LEVEL_APP, [frame])),
        );
        arena.pump();
      }
      assert.equal(arena.endpoint.counters.datagramsSent, before);
      finish(at);
    });

    test("T42 9000-13.4.2.1-01, 02 ECN counts that are too low, too high or fall turn ECN off and close nothing", () => {
      for (const counts of [
        [0, 0, 0],
        [2n ** 62n - 1n, 0, 0],
        [0, 5, 0],
        [0, 0, 2n ** 53n],
      ]) {
        const at = scene(role);
        const { arena, peer, conn } = at;
        const id = conn.open(0);
        for (let round = 0; round < 5; round++) {
          conn.write(id, new Uint8Array(3000), 0, 3000, false);
          arena.pump();
          const largest = Math.max(...peer.packets.map((packet) => packet.pn));
          peer.send(LEVEL_APP, bytes(3, vi(largest), vi(0), vi(0), vi(0), ...counts.map((count) => vi(count))));
        }
        assert.equal(conn.closeInfo, null);
        assert.equal(conn.recovery.ecn.beginDatagram(), false, "no more marks");
        assert.ok(conn.recovery.cc.cwndBytes >= 2 * 1200);
        arena.assertCleanEnd();
      }
    });

    test("T44 PADDING-only packets are not acknowledged; 1000 PINGs bring 1000 acknowledgements at most", () => {
      const at = scene(role);
      const { arena, peer } = at;
      for (let i = 0; i < 1000; i++) arena.send(peer, peer.packet(LEVEL_APP, [padding(5)]));
      arena.advance(1_000_000);
      assert.equal(peer.packets.length, 0);
      for (let i = 0; i < 1000; i++) arena.send(peer, peer.packet(LEVEL_APP, [PING]));
      arena.advance(1_000_000);
      assert.ok(peer.packets.length <= 1000);
      finish(at);
    });

    test("a window full of small packets that nobody acknowledges: no busy loop, no exception, an end", () => {
      const at = scene(role);
      const { arena, peer, conn } = at;
      Object.defineProperty(conn.recovery.cc, "cwndBytes", { get: () => 60 * 1024 * 1024 });
      for (let i = 0; i < 36_000; i++) {
        arena.deliver(peer, [peer.packet(LEVEL_APP, [pathChallenge(i)])]);
        arena.pump();
        if (i % 1000 === 0) peer.forget();
        arena.nowMicros += 20;
      }
      const wakeups = arena.advance(20_000_000);
      assert.ok(wakeups <= 200, `${wakeups} wakeups in 20 s`);
      peer.forget();
      at.bystander?.assertServed();
      for (let i = 0; i < 2000 && conn.closeInfo === null; i++) {
        peer.send(LEVEL_APP, PING);
        assert.ok(arena.advance(10_000_000) <= 20);
      }
      assert.equal(peer.closeCode, PROTOCOL_VIOLATION, "not for ever");
      arena.assertCleanEnd();
    });
  });

  describe(`key updates at a ${role}, T31`, () => {
    test("RFC 9001 §6.2 (9001-6.2-01) two updates without a packet of ours in between", () => {
      const at = scene(role);
      const { arena, peer } = at;
      arena.deliver(peer, [
        peer.packet(LEVEL_APP, [PING], { generation: 1 }),
        peer.packet(LEVEL_APP, [PING], { generation: 2 }),
      ]);
      arena.pump();
      assert.equal(peer.closeCode, KEY_UPDATE_ERROR);
      finish(at);
    });

    test("RFC 9001 §6.4 old keys after new ones", () => {
      const at = scene(role);
      const { arena, peer } = at;
      arena.send(peer, peer.packet(LEVEL_APP, [PING], { generation: 1 }));
      arena.send(peer, peer.packet(LEVEL_APP, [PING], { generation: 0 }));
      assert.equal(peer.closeCode, KEY_UPDATE_ERROR);
      finish(at);
    });

    test("RFC 9001 §6.2 an acknowledgement of new keys in a packet of old keys", () => {
      const at = scene(role);
      const { arena, peer } = at;
      const pn = peer.nextPn[2]++;
      arena.send(peer, peer.packet(LEVEL_APP, [PING, PING], { generation: 1 }));
      arena.send(peer, peer.packet(LEVEL_APP, [PING, PING], { generation: 1 }));
      const largest = Math.max(...peer.packets.map((packet) => packet.pn));
      arena.send(peer, peer.packet(LEVEL_APP, [ack([largest, largest])], { pn, generation: 0 }));
      assert.equal(peer.closeCode, KEY_UPDATE_ERROR);
      finish(at);
    });

    test("updates as often as allowed leave no keys behind, late packets of the last phase are read", () => {
      const at = scene(role);
      const { arena, peer, conn } = at;
      const live = arena.aead.liveKeys;
      for (let generation = 1; generation <= 3; generation++) {
        const late = peer.nextPn[2]++;
        arena.send(peer, peer.packet(LEVEL_APP, [PING], { generation }));
        arena.send(peer, peer.packet(LEVEL_APP, [PING], { generation }));
        peer.forget();
        const before = conn.counters.packetsReceived;
        arena.send(peer, peer.packet(LEVEL_APP, [PING], { pn: late, generation: generation - 1 }));
        assert.equal(conn.counters.packetsReceived, before + 1);
        assert.equal(conn.keys.keyPhase, generation & 1);
        arena.advance(5_000_000);
        assert.ok(arena.aead.liveKeys <= live);
      }
      assert.equal(peer.closeCode, NONE);
      finish(at);
    });

    test("forged updates cost one or two opens each and change nothing", () => {
      const at = scene(role);
      const { arena, peer, conn } = at;
      const opened = arena.aead.opened;
      for (let i = 0; i < 500; i++) arena.send(peer, peer.packet(LEVEL_APP, [PING], { generation: 1, forged: true }));
      assert.ok(arena.aead.opened - opened <= 1000);
      assert.equal(conn.keys.keyPhase, 0);
      assert.equal(peer.datagrams.length, 0);
      finish(at);
    });
  });
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
