/** Flows of one algorithm share a bottleneck; of two, none starves. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { measurePair } from "./fairness.js";

const LINK = { rttMillis: [40, 40] as [number, number], bufferBdps: 1, bitsPerSec: 10e6 };

describe("fairness", () => {
  for (const name of ["newreno", "cubic", "bbr"] as const) {
    test(`two flows of ${name} share a link and fill it`, () => {
      const { jain, used } = measurePair({ ...LINK, congestion: [name, name] });
      // BBR comes to even shares only slowly, by what its probes find
      assert.ok(jain >= (name === "bbr" ? 0.85 : 0.95), `Jain's index ${jain.toFixed(3)}`);
      assert.ok(used >= 0.9, `${(100 * used).toFixed(1)} % of the link`);
    });
  }

  test("RFC 9438 §4.3 a flow of CUBIC does not starve one of NewReno, nor BBR either of them", () => {
    for (const [first, second] of [
      ["newreno", "cubic"],
      ["newreno", "bbr"],
      ["cubic", "bbr"],
    ] as const) {
      const { firstShare } = measurePair({ ...LINK, congestion: [first, second] });
      assert.ok(firstShare >= 0.2 && firstShare <= 0.8, `${first} has ${(100 * firstShare).toFixed(0)} %`);
    }
  });
});
