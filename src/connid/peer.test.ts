import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RESET_TOKEN_BYTES } from "../proto/params.js";
import { ACTIVE_CID_LIMIT, MAX_RETIRE_PENDING } from "../proto/limits.js";
import { CONNECTION_ID_LIMIT_ERROR, PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import { PeerIds } from "./peer.js";

function cid(seq: number): Uint8Array {
  return Uint8Array.of(0xc1, 0, 0, (seq >> 24) & 0xff, (seq >> 16) & 0xff, (seq >> 8) & 0xff, seq & 0xff, 0);
}

function token(seq: number): Uint8Array {
  const out = new Uint8Array(RESET_TOKEN_BYTES).fill(0x70);
  out.set(cid(seq).subarray(3, 7), 2);
  return out;
}

function add(ids: PeerIds, seq: number, retirePriorTo = 0): number {
  return ids.onNew(seq, retirePriorTo, cid(seq), token(seq));
}

function retires(ids: PeerIds): number[] {
  const out: number[] = [];
  for (let seq = ids.takeRetire(); seq >= 0; seq = ids.takeRetire()) out.push(seq);
  return out;
}

/** Holds sequence numbers 0 to count - 1. */
function holding(count: number): PeerIds {
  const ids = new PeerIds(cid(0));
  for (let seq = 1; seq < count; seq++) assert.equal(add(ids, seq), 0);
  return ids;
}

describe("connection ids that the peer issues", () => {
  test("9000-5.1.1-01 one more than active_connection_id_limit is CONNECTION_ID_LIMIT_ERROR", () => {
    const ids = holding(ACTIVE_CID_LIMIT);
    assert.equal(ids.activeCount, ACTIVE_CID_LIMIT);
    assert.equal(add(ids, ACTIVE_CID_LIMIT), CONNECTION_ID_LIMIT_ERROR);
    const few = new PeerIds(cid(0), 2);
    assert.equal(add(few, 1), 0);
    assert.equal(add(few, 2), CONNECTION_ID_LIMIT_ERROR);
  });

  test("9000-5.1.2-01 old ids are retired before the new one counts", () => {
    const ids = holding(ACTIVE_CID_LIMIT);
    assert.equal(add(ids, ACTIVE_CID_LIMIT, ACTIVE_CID_LIMIT), 0);
    assert.equal(ids.activeCount, 1);
    assert.deepEqual(retires(ids), [0, 1, 2, 3, 4, 5, 6, 7]);
  });

  test("9000-5.1.2-03 an id is not used from the moment its retirement is demanded", () => {
    const ids = holding(3);
    assert.deepEqual(ids.current, cid(0));
    assert.equal(add(ids, 3, 2), 0);
    assert.deepEqual(ids.current, cid(2), "the oldest that is left");
  });

  test("9000-5.1.2-02 CVE-2024-22189 retirements that are never acknowledged end the connection", () => {
    const ids = new PeerIds(cid(0));
    let frames = 0;
    let error = 0;
    while (error === 0 && frames < 1000) {
      frames++;
      error = add(ids, frames, frames);
      if (frames % 5 === 0) retires(ids); // sent, but never acknowledged
    }
    assert.equal(error, CONNECTION_ID_LIMIT_ERROR);
    assert.equal(frames, MAX_RETIRE_PENDING + 1);
  });

  test("the honest twin: any number of rotations goes on while retirements are acknowledged", () => {
    const ids = new PeerIds(cid(0));
    for (let seq = 1; seq < 5000; seq++) {
      assert.equal(add(ids, seq, seq), 0);
      for (const retired of retires(ids)) ids.onRetireAcked(retired);
      assert.deepEqual(ids.current, cid(seq));
    }
  });

  test("CVE-2025-7054 sparse sequence numbers cost no more than dense ones", () => {
    const ids = new PeerIds(cid(0));
    assert.equal(add(ids, 2 ** 31 - 2, 2 ** 31 - 2), 0);
    assert.deepEqual(retires(ids), [0]);
    assert.equal(ids.onNew(2 ** 53 - 1, 2 ** 53 - 1, cid(7), token(7)), 0);
    assert.deepEqual(retires(ids), [2 ** 31 - 2]);
  });

  test("9000-19.15-04 NEW_CONNECTION_ID while sending to a zero-length id is PROTOCOL_VIOLATION", () => {
    assert.equal(add(new PeerIds(new Uint8Array(0)), 1), PROTOCOL_VIOLATION);
  });

  test("9000-19.15-05 one id with two sequence numbers or tokens is PROTOCOL_VIOLATION", () => {
    assert.equal(holding(3).onNew(3, 0, cid(2), token(3)), PROTOCOL_VIOLATION, "id repeated");
    assert.equal(holding(3).onNew(2, 0, cid(3), token(2)), PROTOCOL_VIOLATION, "number repeated");
    assert.equal(holding(3).onNew(2, 0, cid(2), token(3)), PROTOCOL_VIOLATION, "token changed");
    assert.equal(holding(3).onNew(3, 0, cid(0), token(3)), PROTOCOL_VIOLATION, "the handshake's id");
  });

  test("9000-10.3.2-01 one stateless reset token for two ids is PROTOCOL_VIOLATION", () => {
    assert.equal(holding(3).onNew(3, 0, cid(3), token(2)), PROTOCOL_VIOLATION);
    const client = new PeerIds(cid(0));
    client.setResetToken(token(0));
    assert.equal(client.onNew(1, 0, cid(1), token(0)), PROTOCOL_VIOLATION);
  });

  test("9000-19.15-06 an exact repeat is no error and changes nothing", () => {
    const ids = holding(3);
    for (let i = 0; i < 10; i++) assert.equal(add(ids, 2), 0);
    assert.equal(ids.activeCount, 3);
    assert.deepEqual(retires(ids), []);
  });

  test("9000-19.15-07 a number below the largest retire_prior_to is retired at once, never used", () => {
    const ids = new PeerIds(cid(0));
    assert.equal(add(ids, 5, 5), 0);
    assert.deepEqual(retires(ids), [0]);
    assert.equal(add(ids, 2), 0);
    assert.equal(add(ids, 2), 0);
    assert.deepEqual(retires(ids), [2], "once");
    assert.equal(ids.activeCount, 1);
  });

  test("9000-19.15-08 a retire_prior_to that does not grow is ignored", () => {
    const ids = new PeerIds(cid(0));
    assert.equal(add(ids, 5, 5), 0);
    assert.equal(add(ids, 6, 3), 0);
    assert.deepEqual(retires(ids), [0]);
    assert.equal(ids.activeCount, 2);
  });

  test("RFC 9000 §5.1.2 demanding back every id, the newest included, leaves none: PROTOCOL_VIOLATION", () => {
    const ids = holding(3);
    ids.rotate();
    ids.rotate();
    assert.equal(ids.onNew(1, 3, cid(1), token(1)), PROTOCOL_VIOLATION);
  });

  test("RFC 9000 §7.2 the server's choice replaces the client's first id and keeps number 0", () => {
    const ids = new PeerIds(cid(99));
    ids.replaceFirst(cid(0));
    assert.deepEqual(ids.current, cid(0));
    assert.equal(add(ids, 1, 1), 0);
    assert.deepEqual(retires(ids), [0]);
  });
});

describe("moving to another id", () => {
  test("RFC 9000 §9.5 the id left behind is retired and never comes back", () => {
    const ids = holding(3);
    assert.equal(ids.rotate(), true);
    assert.deepEqual(ids.current, cid(1));
    assert.deepEqual(retires(ids), [0]);
    assert.equal(ids.rotate(), true);
    assert.equal(ids.rotate(), false, "no spare is left");
    assert.deepEqual(ids.current, cid(2));
    assert.equal(add(ids, 1), 0, "a late repeat of a retired one");
    assert.equal(ids.activeCount, 1);
  });

  test("a retired number above a gap is remembered too", () => {
    const ids = new PeerIds(cid(0));
    assert.equal(add(ids, 2), 0);
    assert.equal(add(ids, 3), 0);
    ids.rotate();
    ids.rotate();
    assert.equal(add(ids, 2), 0);
    assert.equal(ids.activeCount, 1, "2 is retired");
    assert.equal(add(ids, 1), 0);
    assert.equal(ids.activeCount, 2, "1 is new");
  });
});

describe("ids for other paths", () => {
  test("RFC 9000 §9.5 each path takes an id that no other has", () => {
    const ids = holding(3);
    assert.equal(ids.takeSpare(), 1);
    assert.equal(ids.takeSpare(), 2);
    assert.equal(ids.takeSpare(), -1);
    assert.equal(ids.hasSpare, false);
    assert.deepEqual(ids.takenCid(1), cid(1));
    assert.equal(ids.takenCid(0), null, "that is the connection's own");
    assert.equal(ids.takenCid(-1), null);
  });

  test("RFC 9000 §9.5 the connection moves to a path with its id, and the path that was left keeps the old one", () => {
    const ids = holding(3);
    assert.equal(ids.use(ids.takeSpare()), 0);
    assert.deepEqual(ids.current, cid(1));
    assert.deepEqual(ids.takenCid(0), cid(0));
    assert.equal(ids.use(0), 1, "and back");
    assert.deepEqual(ids.current, cid(0));
    assert.deepEqual(retires(ids), []);
  });

  test("RFC 9000 §9.5 an id that a path gave back is retired and never comes again", () => {
    const ids = holding(3);
    ids.giveBack(ids.takeSpare());
    ids.giveBack(1);
    ids.giveBack(0);
    ids.giveBack(2);
    assert.deepEqual(retires(ids), [1], "nothing that no other path has taken");
    assert.equal(add(ids, 1), 0);
    assert.equal(ids.takeSpare(), 2);
  });

  test("RFC 9000 §5.1.2 a path loses an id that is demanded back, or that the connection needs itself", () => {
    const ids = holding(3);
    ids.takeSpare();
    ids.takeSpare();
    assert.equal(add(ids, 3, 2), 0);
    assert.equal(ids.takenCid(1), null);
    assert.deepEqual(ids.current, cid(3));
    assert.equal(ids.use(2), 3);
    assert.equal(add(ids, 3, 3), 0);
    assert.deepEqual(ids.current, cid(3), "the only one that is left");
    assert.equal(ids.takenCid(3), null);
  });

  test("ids that come and go while the first one stays cost nothing, gaps that the peer leaves end the connection", () => {
    const ids = new PeerIds(cid(0));
    for (let seq = 1; seq < 5000; seq++) {
      assert.equal(add(ids, seq), 0);
      ids.giveBack(ids.takeSpare());
      for (const retired of retires(ids)) ids.onRetireAcked(retired);
    }
    const sparse = new PeerIds(cid(0));
    let error = 0;
    let gaps = 0;
    for (; error === 0 && gaps < 1000; gaps++) {
      error = add(sparse, 2 + 2 * gaps);
      sparse.giveBack(sparse.takeSpare());
      for (const retired of retires(sparse)) sparse.onRetireAcked(retired);
    }
    assert.equal(error, CONNECTION_ID_LIMIT_ERROR);
    assert.equal(gaps, MAX_RETIRE_PENDING + 2);
  });
});

describe("RETIRE_CONNECTION_ID frames", () => {
  test("RFC 9000 §13.3 a lost one is sent again until it is acknowledged", () => {
    const ids = holding(2);
    ids.rotate();
    assert.equal(ids.hasRetire, true);
    assert.equal(ids.takeRetire(), 0);
    assert.equal(ids.hasRetire, false);
    ids.onRetireLost(0);
    assert.equal(ids.takeRetire(), 0);
    ids.onRetireAcked(0);
    ids.onRetireLost(0);
    assert.equal(ids.takeRetire(), -1);
  });
});

describe("ids of several paths", () => {
  test("RFC 9000 §9.5 an id that one path lost to another is given back when that leaves it, and not used by both", () => {
    const ids = holding(4);
    const [one, two] = [ids.takeSpare(), ids.takeSpare()];
    assert.equal(add(ids, 4, 2), 0); // 0 and 1 are demanded back; 3 is spare
    assert.deepEqual([one, ids.takenCid(one), ids.current], [1, null, cid(3)]);
    const three = ids.takeSpare();
    assert.equal(add(ids, 4, 4), 0, "now 2 and 3 are gone, and 4 is a path's");
    assert.deepEqual([two, three, ids.takenCid(three), ids.current], [2, 4, null, cid(4)]);
    assert.equal(add(ids, 5, 4), 0);
    const next = ids.takeSpare();
    assert.equal(ids.use(next), -1);
    assert.deepEqual([ids.current, ids.takenCid(three)], [cid(5), null]);
    assert.ok(retires(ids).includes(4));
  });
});

describe("ids that a program chooses", () => {
  test("RFC 9000 §9.5 a newer id is used from now on; the one before stays, and no other path gets it", () => {
    const ids = holding(4);
    for (const seq of [0, 4, -1]) assert.equal(ids.select(seq), false, `${seq}`);
    assert.equal(ids.select(2), true);
    assert.deepEqual([ids.current, ids.lowestSeq, ids.highestSeq, retires(ids)], [cid(2), 0, 3, []]);
    for (const seq of [1, 2]) assert.equal(ids.select(seq), false, "not newer");
    assert.deepEqual([ids.takeSpare(), ids.takeSpare(), ids.takeSpare()], [1, 3, -1]);
    assert.equal(ids.select(3), false, "another path has it");
  });

  test("RFC 9000 §9.5 one that the connection's path took from another does not go back there", () => {
    const ids = holding(2);
    const other = ids.takeSpare();
    ids.retireBelow(1);
    assert.deepEqual([ids.current, ids.takenCid(other)], [cid(1), null]);
    assert.equal(add(ids, 2, 0), 0);
    assert.equal(ids.select(2), true);
    assert.deepEqual([ids.current, ids.takenCid(other), retires(ids)], [cid(2), null, [0, 1]]);
  });

  test("RFC 9000 §5.1.2 all ids below a number are given back, and the oldest that is left is used", () => {
    const ids = holding(5);
    const other = ids.takeSpare();
    ids.retireBelow(3);
    assert.deepEqual([ids.current, ids.lowestSeq, ids.takenCid(other)], [cid(3), 3, null]);
    assert.deepEqual(retires(ids), [0, 1, 2]);
    ids.retireBelow(3);
    assert.equal(ids.hasRetire, false);
    assert.equal(add(ids, 5, 0), 0);
    ids.retireBelow(5);
    assert.deepEqual([ids.current, ids.activeCount], [cid(5), 1]);
  });
});

describe("stateless reset tokens", () => {
  test("9000-10.3.1-02 only the token of the id in use counts", () => {
    const ids = holding(3);
    const datagram = (seq: number): Uint8Array => Uint8Array.of(0x40, ...new Uint8Array(24), ...token(seq));
    assert.equal(ids.isResetToken(datagram(0), 25), false, "a client's first id has none");
    assert.equal(ids.isResetToken(datagram(1), 25), false, "unused");
    ids.rotate();
    assert.equal(ids.isResetToken(datagram(1), 25), true);
    ids.rotate();
    assert.equal(ids.isResetToken(datagram(1), 25), false, "retired");
    assert.equal(ids.isResetToken(datagram(2), 26), false, "cut");
  });

  test("RFC 9000 §18.2 the server's parameter is the token of its first id", () => {
    const ids = new PeerIds(cid(0));
    ids.setResetToken(token(0));
    assert.equal(ids.isResetToken(token(0), 0), true);
    assert.equal(ids.isResetToken(token(1), 0), false);
  });
});
