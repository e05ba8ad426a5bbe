import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ACTIVE_CIDS, CID_ISSUE_BURST, CID_ISSUE_PER_SECOND, RETIRED_CIDS } from "../proto/limits.js";
import { PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import { LocalIds } from "./local.js";

const TOKEN = new Uint8Array(16);
const OTHER = cid(0xffff);

function cid(number: number): Uint8Array {
  return Uint8Array.of(1, 2, 3, 4, 5, 6, number >> 8, number & 0xff);
}

function issueAll(ids: LocalIds, nowMicros: number): number {
  const count = ids.toIssue(nowMicros);
  for (let i = 0; i < count; i++) ids.add(cid(1000 + ids.live.length + i), TOKEN);
  return count;
}

describe("connection ids that we issue", () => {
  test("RFC 9000 §5.1.1 sequence numbers start at 0 and grow by 1", () => {
    const ids = new LocalIds(cid(0));
    ids.peerLimit = 4;
    assert.deepEqual([ids.add(cid(1), TOKEN), ids.add(cid(2), TOKEN)], [1, 2]);
    assert.deepEqual(
      ids.live.map((id) => id.seq),
      [0, 1, 2],
    );
  });

  test("RFC 9000 §5.1.1 never more than the peer's limit, and never more than ours", () => {
    const ids = new LocalIds(cid(0));
    assert.equal(ids.toIssue(0), 1, "a silent peer takes two");
    ids.peerLimit = 3;
    assert.equal(issueAll(ids, 0), 2);
    assert.equal(ids.toIssue(0), 0);
    ids.peerLimit = 1e9;
    assert.equal(issueAll(ids, 0), ACTIVE_CIDS - 3);
    assert.equal(ids.toIssue(1e9), 0);
  });

  test("RFC 9000 §5.1.1 a zero-length id cannot be followed by others", () => {
    const ids = new LocalIds(new Uint8Array(0));
    ids.peerLimit = 8;
    assert.equal(ids.toIssue(1e9), 0);
  });

  test("9000-5.1.1-02 every issued id is live until it is retired, and then replaced", () => {
    const ids = new LocalIds(cid(0));
    ids.add(cid(1), TOKEN);
    assert.equal(ids.has(cid(0)) && ids.has(cid(1)), true);
    assert.equal(ids.has(OTHER), false);
    assert.equal(ids.has(Uint8Array.of(9, ...cid(1)), 1, 9), true);
    assert.equal(ids.onRetire(0, OTHER, 0, 8), 0);
    assert.equal(ids.has(cid(0)), false);
    assert.equal(ids.toIssue(0), 1);
  });

  test("ids that were retired lead here until RETIRED_CIDS later ones are, oldest first", () => {
    const ids = new LocalIds(cid(0));
    for (let seq = 0; seq <= RETIRED_CIDS + 1; seq++) {
      ids.add(cid(seq + 1), TOKEN);
      assert.equal(ids.onRetire(seq, OTHER, 0, 8), 0);
      assert.deepEqual(ids.takeRetired(), seq < RETIRED_CIDS ? null : cid(seq - RETIRED_CIDS));
      assert.equal(ids.takeRetired(), null);
    }
    assert.deepEqual(ids.lingering, [2, 3, 4, 5].map(cid));
  });

  test("9000-19.16-01 retiring a number never issued is PROTOCOL_VIOLATION", () => {
    const ids = new LocalIds(cid(0));
    assert.equal(ids.onRetire(1, OTHER, 0, 8), PROTOCOL_VIOLATION);
    ids.add(cid(1), TOKEN);
    assert.equal(ids.onRetire(1, OTHER, 0, 8), 0);
    assert.equal(ids.onRetire(2, OTHER, 0, 8), PROTOCOL_VIOLATION);
  });

  test("9000-19.16-02 retiring the id that the packet itself carries is PROTOCOL_VIOLATION", () => {
    const ids = new LocalIds(cid(0));
    ids.add(cid(1), TOKEN);
    const packet = Uint8Array.of(0x40, ...cid(1), 0x55);
    assert.equal(ids.onRetire(1, packet, 1, 9), PROTOCOL_VIOLATION);
    assert.equal(ids.onRetire(0, packet, 1, 9), 0);
  });

  test("9000-19.16-03 RETIRE_CONNECTION_ID at an endpoint with a zero-length id is PROTOCOL_VIOLATION", () => {
    const ids = new LocalIds(new Uint8Array(0));
    assert.equal(ids.onRetire(0, OTHER, 0, 0), PROTOCOL_VIOLATION);
  });

  test("RFC 9000 §19.16 a repeated retirement is no error and frees nothing twice", () => {
    const ids = new LocalIds(cid(0));
    ids.add(cid(1), TOKEN);
    for (let i = 0; i < 3; i++) assert.equal(ids.onRetire(0, OTHER, 0, 8), 0);
    assert.deepEqual(ids.lingering, [cid(0)]);
  });

  test("RFC 9000 §13.3 a lost NEW_CONNECTION_ID is sent again with the same content, unless retired meanwhile", () => {
    const ids = new LocalIds(cid(0));
    assert.equal(ids.nextUnsent(), null);
    ids.peerLimit = 3;
    ids.add(cid(1), TOKEN);
    ids.add(cid(2), TOKEN);
    const first = ids.nextUnsent();
    assert.equal(first?.seq, 1);
    ids.onFrameSent(1);
    assert.equal(ids.nextUnsent()?.seq, 2);
    ids.onFrameSent(2);
    assert.equal(ids.nextUnsent(), null);
    ids.onFrameLost(1);
    assert.equal(ids.nextUnsent(), first);
    ids.onRetire(1, OTHER, 0, 8);
    assert.equal(ids.nextUnsent(), null);
    ids.onFrameLost(1);
    assert.equal(ids.nextUnsent(), null);
  });

  test("RFC 9000 §13.3 an acknowledged NEW_CONNECTION_ID is not sent again, and its token is forgotten", () => {
    const ids = new LocalIds(cid(0));
    ids.add(cid(1), TOKEN);
    ids.onFrameSent(1);
    ids.onFrameLost(1);
    ids.onFrameAcked(1); // a copy that was thought to be lost
    assert.equal(ids.nextUnsent(), null);
    ids.onFrameLost(1);
    assert.equal(ids.nextUnsent(), null);
    assert.equal(ids.live[1]?.token, null);
    ids.onFrameAcked(7);
    assert.equal(ids.has(cid(1)), true);
  });

  test("T06 a peer that retires each id at once gets a burst, then CID_ISSUE_PER_SECOND", () => {
    const ids = new LocalIds(cid(0));
    ids.peerLimit = 8;
    const seconds = 20;
    let issued = 0;
    for (let millis = 0; millis < seconds * 1000; millis++) {
      issued += issueAll(ids, millis * 1000);
      assert.ok(ids.live.length <= ACTIVE_CIDS);
      for (const { seq } of ids.live.slice()) assert.equal(ids.onRetire(seq, OTHER, 0, 8), 0);
      while (ids.takeRetired() !== null);
    }
    assert.ok(issued <= CID_ISSUE_BURST + seconds * CID_ISSUE_PER_SECOND, `${issued} ids`);
    assert.ok(issued >= CID_ISSUE_BURST, `${issued} ids`);
  });

  test("RFC 9000 §5.1.2 ids that are demanded back leave room for as many new ones, and stay live until they are retired", () => {
    const ids = new LocalIds(cid(0), 4);
    ids.peerLimit = 4;
    issueAll(ids, 0);
    assert.deepEqual([ids.lowestSeq, ids.highestSeq, ids.retirePriorTo], [0, 3, 0]);
    assert.equal(ids.demandBelow(2), 2);
    for (let i = 4; i < 6; i++) ids.add(cid(i), TOKEN);
    assert.deepEqual([ids.lowestSeq, ids.highestSeq, ids.retirePriorTo], [2, 5, 2]);
    assert.equal(ids.toIssue(0), 0);
    assert.equal(ids.has(cid(0)), true);
    assert.equal(ids.onRetire(0, OTHER, 0, 8), 0);
    assert.equal(ids.onRetire(1, OTHER, 0, 8), 0);
    assert.equal(ids.toIssue(0), 0);
    assert.equal(ids.onRetire(2, OTHER, 0, 8), 0);
    assert.equal(ids.toIssue(0), 1);
  });

  test("RFC 9000 §5.1.2 the same ids are not demanded twice, never all, and no more than may be live while the peer owes them", () => {
    const ids = new LocalIds(cid(0), 4);
    ids.peerLimit = 4;
    issueAll(ids, 0);
    assert.equal(ids.demandBelow(0), 0);
    assert.equal(ids.demandBelow(4), 0, "all");
    let newest = 3;
    for (let seq = 1; seq <= 4; seq++) {
      assert.equal(ids.demandBelow(seq), 1);
      assert.equal(ids.demandBelow(seq), 0);
      ids.add(cid(++newest), TOKEN);
    }
    assert.equal(ids.demandBelow(5), 0, "four are owed");
    assert.equal(ids.live.length, 8);
    ids.onRetire(0, OTHER, 0, 8);
    assert.equal(ids.demandBelow(5), 1);
  });

  test("what we demand ourselves is not taken from what the peer may make us issue", () => {
    const ids = new LocalIds(cid(0), 4);
    ids.peerLimit = 4;
    issueAll(ids, 0);
    for (let round = 0; round < CID_ISSUE_BURST + 10; round++) {
      const seq = ids.lowestSeq + 1;
      assert.equal(ids.demandBelow(seq), 1);
      ids.add(cid(2000 + round), TOKEN);
      ids.onRetire(seq - 1, OTHER, 0, 8);
      while (ids.takeRetired() !== null);
    }
    ids.onRetire(ids.lowestSeq, OTHER, 0, 8);
    assert.equal(ids.toIssue(0), 1);
  });
});
