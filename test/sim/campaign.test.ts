/** The simulation that every test run contains: seeds that failed once, and a fixed range of both kinds. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { OPEN_COLS, OPEN_OK, OPEN_STATUS } from "#src/port/aead.js";
import { Prng, SimScratch } from "#src/sim/index.js";
import { attempt, type CampaignResult, type Failure, runCampaign } from "./campaign.js";
import { runCrew } from "./crew.js";
import { MARKS, missingMarks } from "./marks.js";
import { type Mode, type ModeName, nullMode, realMode } from "./modes.js";
import { drawScenario } from "./scenario.js";

const NULL_SEEDS = 2000;
const REAL_SEEDS = 200;
/** Compiled tests run from dist-test/sim. */
const LEDGER = new URL("../../test/sim/seeds.jsonl", import.meta.url);

function report(failed: Failure[]): string {
  return failed.map(({ message, replay, needs }) => `${message}\n  needs ${needs}\n  replay: ${replay}`).join("\n\n");
}

function assertHeld(result: CampaignResult, seeds: number): void {
  assert.equal(result.failed.length, 0, report(result.failed));
  assert.equal(result.seeds, seeds);
}

describe("simulation", () => {
  const modes: Record<ModeName, Mode> = { null: nullMode(), real: realMode(process.env) };

  test("seeds that failed before hold", () => {
    const scratch = new SimScratch();
    for (const line of readFileSync(LEDGER, "utf8").split("\n")) {
      if (line === "") continue;
      const { mode, seed, was } = JSON.parse(line) as { mode: ModeName; seed: number; was: string };
      const outcome = attempt(drawScenario(seed), modes[mode], scratch, false);
      assert.ok(typeof outcome !== "string", `${mode} seed ${seed} (${was}): ${String(outcome)}`);
    }
  });

  test(`${NULL_SEEDS} seeds without cryptography hold every invariant; 1 % replay to the same trace`, () => {
    const result = runCampaign(modes.null, { firstSeed: 1, seeds: NULL_SEEDS });
    assertHeld(result, NULL_SEEDS);
    for (const mark of ["packets lost", "pto", "retry sent", "network: corrupt", "reset received", "stop received"]) {
      assert.ok((result.marks.get(mark) ?? 0) >= 10, `"${mark}" happened in ${result.marks.get(mark) ?? 0} runs`);
    }
  });

  test("other processes come to the same traces, marks and bytes", async () => {
    const here = runCampaign(modes.null, { firstSeed: 1, seeds: 600 });
    const there = await runCrew({ mode: "null", firstSeed: 1, seeds: 600, maxFailures: 5, workers: 2 });
    assert.equal(here.traces.length, 6);
    assert.deepEqual({ ...there, seconds: 0 }, { ...here, seconds: 0 });
  });

  test("a rare event that too few runs saw is named", () => {
    const hits = new Map(MARKS.map((mark) => [mark, 10]));
    assert.deepEqual(missingMarks(hits, 10), []);
    hits.set("path left again", 9);
    hits.delete("black hole left");
    assert.deepEqual(missingMarks(hits, 10), ["black hole left", "path left again"]);
  });

  test(`${REAL_SEEDS} seeds with real TLS and AEAD hold every invariant`, () => {
    assertHeld(runCampaign(modes.real, { firstSeed: 1, seeds: REAL_SEEDS }), REAL_SEEDS);
  });

  test("the checks find an AEAD that lets damage through, and chance that is not of the seed", () => {
    const careless: Mode = {
      name: "null",
      open(...args) {
        const crypto = nullMode().open(...args);
        const { clientAead } = crypto;
        const open = clientAead.open.bind(clientAead);
        clientAead.open = (batch) => {
          open(batch);
          for (let row = 0; row < batch.count; row++) batch.rows[row * OPEN_COLS + OPEN_STATUS] = OPEN_OK;
          return batch.count;
        };
        return crypto;
      },
    };
    assert.ok(runCampaign(careless, { firstSeed: 1, seeds: 60, maxFailures: 1 }).failed.length > 0);

    let runs = 0;
    const fickle: Mode = {
      name: "null",
      open(plan, _random, maskHeaders, later) {
        return nullMode().open(plan, new Prng(runs++), maskHeaders, later);
      },
    };
    const { failed } = runCampaign(fickle, { firstSeed: 1, seeds: 1 });
    assert.match(failed[0].message, /E9/);
    assert.equal(failed[0].replay, "SIM_SEED=1 npm run sim -- --seed 1 --null");
  });
});
