import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { toHex } from "../base/bytes.js";
import { RESET_TOKEN_BYTES } from "../proto/params.js";
import { ACTIVE_CID_LIMIT, MAX_RETIRE_PENDING } from "../proto/limits.js";
import { PeerIds } from "./peer.js";

const operation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ seq: fc.integer({ min: 0, max: 40 }), back: fc.integer({ min: 0, max: 40 }) }) },
  { weight: 1, arbitrary: fc.constant("rotate" as const) },
  { weight: 2, arbitrary: fc.constantFrom("take" as const, "use" as const, "give" as const) },
  { weight: 1, arbitrary: fc.record({ select: fc.integer({ min: 0, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ below: fc.integer({ min: 0, max: 40 }) }) },
  { weight: 3, arbitrary: fc.constantFrom("send" as const, "ack" as const, "lose" as const) },
);

/** The peer sends what it likes, frames are sent, acknowledged and lost in any order. */
test("PeerIds keeps its bounds, never goes back to an id that was retired, and gives no id to two paths", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 200, size: "max" }), (operations) => {
      const ids = new PeerIds(Uint8Array.of(0, 0xcc));
      const given = new Set<string>([toHex(ids.current)]);
      const left = new Set<string>();
      const worn = new Set<string>();
      const inFlight: number[] = [];
      const retired = new Set<number>();
      const paths: number[] = [];
      let demanded = 0;
      for (const op of operations) {
        const before = toHex(ids.current);
        if (op === "rotate") {
          if (ids.rotate()) left.add(before);
        } else if (op === "take") {
          const seq = ids.takeSpare();
          if (seq >= 0) paths.push(seq);
        } else if (op === "use") {
          const seq = paths.shift() ?? -1;
          if (ids.takenCid(seq) !== null) paths.push(ids.use(seq));
        } else if (op === "give") {
          const seq = paths.shift() ?? -1;
          const cid = ids.takenCid(seq);
          ids.giveBack(seq);
          if (cid !== null) left.add(toHex(cid));
        } else if (op === "send") {
          const seq = ids.takeRetire();
          if (seq >= 0) {
            assert.ok(!inFlight.includes(seq), "one frame in flight for a number");
            inFlight.push(seq);
            retired.add(seq);
          }
        } else if (op === "ack") {
          const seq = inFlight.shift();
          if (seq !== undefined) ids.onRetireAcked(seq);
        } else if (op === "lose") {
          const seq = inFlight.shift();
          if (seq !== undefined) ids.onRetireLost(seq);
        } else if ("select" in op) {
          if (ids.select(op.select)) worn.add(before);
        } else if ("below" in op) {
          if (op.below > ids.lowestSeq && op.below <= ids.highestSeq) {
            ids.retireBelow(op.below);
            demanded = Math.max(demanded, op.below);
          }
        } else {
          const retirePriorTo = Math.max(0, op.seq - op.back);
          const cid = Uint8Array.of(op.seq, 0xcc);
          if (ids.onNew(op.seq, retirePriorTo, cid, new Uint8Array(RESET_TOKEN_BYTES).fill(op.seq)) !== 0) return;
          given.add(toHex(cid));
          demanded = Math.max(demanded, retirePriorTo);
        }
        const now = toHex(ids.current);
        const inUse = paths.map((seq) => ids.takenCid(seq)).filter((cid) => cid !== null);
        const all = [ids.current, ...inUse].map((cid) => toHex(cid));
        assert.equal(new Set(all).size, all.length, "no path has the id of another");
        assert.ok(!inUse.some((cid) => left.has(toHex(cid)) || cid[0] < demanded || retired.has(cid[0])));
        assert.ok(!inUse.some((cid) => worn.has(toHex(cid))), "an id that a program moved on from stays with its path");
        assert.ok(given.has(now), "an id that the peer gave");
        assert.ok(!left.has(now), "not one that we left");
        assert.ok(ids.current[0] >= demanded, "not one that was demanded back");
        assert.ok(!retired.has(ids.current[0]), "not one that we said is retired");
        assert.ok(ids.activeCount >= 1 && ids.activeCount <= ACTIVE_CID_LIMIT);
        assert.ok(inFlight.length <= MAX_RETIRE_PENDING);
      }
    }),
    { numRuns: 300 },
  );
});
