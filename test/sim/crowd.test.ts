/** Many connections between two endpoints at once: batches that fill, Retry under load, one deadline heap for all. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RETRY_ABOVE_HALF_OPEN } from "#src/proto/limits.js";
import { nullMode } from "./modes.js";
import { runScenario } from "./run-seed.js";
import { plainScenario } from "./scenario.js";
import { plainWorkload } from "./workload.js";

describe("crowd", () => {
  test("RFC 9000 §8.1.2 above its number of half-open handshakes a server asks for Retry, and all complete", () => {
    const scenario = plainScenario(1);
    scenario.connections = RETRY_ABOVE_HALF_OPEN + 100;
    scenario.retry = "auto";
    const outcome = runScenario(scenario, nullMode());
    assert.equal(outcome.end, "finished");
    assert.ok(outcome.marks.has("retry sent"));
  });

  test("a hundred transfers over one lossy path all finish", () => {
    const scenario = plainScenario(2);
    scenario.connections = 100;
    scenario.workload = plainWorkload(2, 20_000);
    scenario.forward.loss = scenario.backward.loss = 0.03;
    scenario.forward.rate = { bitsPerSec: 50e6, queuePackets: 300, markPackets: 100 };
    const outcome = runScenario(scenario, nullMode());
    assert.equal(outcome.end, "finished");
    assert.ok(outcome.marks.has("packets lost"));
  });
});
