import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DROP_DUPLICATE, DROP_FORGED, DROP_NAMES, DROP_REASONS, DROP_UNKNOWN_CID } from "../../observe/drop-reason.js";
import { addCounters, type CounterName, CounterSums, countersOf, noCounters, SNMP_NAMES } from "./counters.js";

const NO_FLOWS = { QuicCurrTxSw: 0, QuicTxSw: 0, QuicTxSwError: 0 };

/** Counters that are not 0. */
function counted(change: (sums: CounterSums) => void): Partial<Record<CounterName, number>> {
  const sums = new CounterSums();
  change(sums);
  return Object.fromEntries(Object.entries(countersOf(sums, NO_FLOWS)).filter(([, value]) => value !== 0));
}

describe("the counters of Linux QUIC", () => {
  test("there are 19, in the order of procfs, and 3 of the offload", () => {
    assert.equal(SNMP_NAMES.length, 19);
    assert.deepEqual(Object.keys(noCounters()).slice(0, 19), [...SNMP_NAMES]);
    assert.deepEqual(Object.keys(countersOf(new CounterSums(), NO_FLOWS)), Object.keys(noCounters()));
  });

  test("each reason for a drop is in one of them, once", () => {
    for (let reason = 1; reason < DROP_REASONS; reason++) {
      const found = counted((sums) => sums.drops.fill(1, reason, reason + 1));
      assert.deepEqual(Object.values(found), [1], DROP_NAMES[reason]);
    }
    assert.deepEqual(
      counted((sums) => sums.drops.fill(3, DROP_DUPLICATE, DROP_DUPLICATE + 1)),
      { QuicPktInvNumDrop: 3 },
    );
    assert.deepEqual(
      counted((sums) => sums.drops.fill(3, DROP_FORGED, DROP_FORGED + 1)),
      { QuicPktDecDrop: 3 },
    );
    const lost = counted((sums) => {
      sums.drops.fill(3, DROP_UNKNOWN_CID, DROP_UNKNOWN_CID + 1);
      sums.receiveOverflows = 2;
    });
    assert.deepEqual(lost, { QuicPktRcvDrop: 5 });
  });

  test("a packet is on the fast path unless it waited", () => {
    const found = counted(({ tally }) => {
      tally.packetsReceived = 10;
      tally.packetsHeld = 3;
    });
    assert.deepEqual(found, { QuicPktRcvFastpaths: 10, QuicPktDecFastpaths: 7, QuicPktDecBacklogs: 3 });
    const held = counted((sums) => {
      sums.tally.packetsReceived = 10;
      sums.datagramsHeld = 4;
    });
    assert.deepEqual(held, { QuicPktRcvFastpaths: 6, QuicPktDecFastpaths: 10, QuicPktRcvBacklogs: 4 });
  });

  test("what is gone leaves its sums and not what only those have that are there", () => {
    const gone = new CounterSums();
    gone.tally.established = gone.tally.passiveOpens = gone.tally.heldBytes = 1;
    gone.tally.framesLost = gone.datagramsHeld = gone.sendErrors = 2;
    const sums = new CounterSums();
    sums.addGone(gone);
    assert.equal(sums.tally.heldBytes, 0);
    const { QuicConnCurrentEstabs, QuicConnPassiveEstabs, QuicFrmRetrans, QuicPktEncDrop } = countersOf(sums, NO_FLOWS);
    assert.deepEqual([QuicConnCurrentEstabs, QuicConnPassiveEstabs, QuicFrmRetrans, QuicPktEncDrop], [0, 1, 2, 2]);
  });

  test("of another process only numbers count", () => {
    const sum = noCounters();
    addCounters(sum, { QuicFrmRetrans: 2, QuicTxSw: "3", QuicTxSwError: Infinity });
    addCounters(sum, { QuicFrmRetrans: 1 });
    assert.deepEqual([sum.QuicFrmRetrans, sum.QuicTxSw, sum.QuicTxSwError], [3, 0, 0]);
  });
});
