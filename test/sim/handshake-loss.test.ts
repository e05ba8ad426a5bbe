/**
 * Every way of losing some of the first seven datagrams of one direction, or the same of both, for every kind of
 * handshake: it completes within the time that the probe timeouts of the lost datagrams add up to.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { VERSION_1, VERSION_2 } from "#src/proto/version.js";
import { SimScratch } from "#src/sim/index.js";
import { type Mode, nullMode, realMode } from "./modes.js";
import { runScenario } from "./run-seed.js";
import { plainScenario, type Scenario } from "./scenario.js";

const DATAGRAMS = 7;
const BITMAPS = 2 ** DATAGRAMS - 1;
/** RFC 9002 §6.2.2: three times the initial RTT before there is a sample. */
const FIRST_PTO_MICROS = 999_000;
const MAX_PTO_MICROS = 60_000_000;
/** Round trips of 20 ms that a handshake, the transfer and its acknowledgements take; generous. */
const ROUND_TRIPS_MICROS = 1_000_000;

/** What is different, and what has to happen in some of its runs. */
const KINDS: [string, (scenario: Scenario) => void, mark?: string][] = [
  ["plain", () => {}],
  ["Retry", (scenario) => (scenario.retry = "always")],
  ["HelloRetryRequest", (scenario) => (scenario.tls.helloRetry = true)],
  ["large certificate chain", (scenario) => (scenario.tls.certificateBytes = 12_000)],
  ["resumed", (scenario) => (scenario.resume = "resumed"), "resumed"],
  ["0-RTT", (scenario) => (scenario.resume = "early"), "0-RTT received"],
  [
    "0-RTT after Retry",
    (scenario) => {
      scenario.resume = "early";
      scenario.retry = "always";
    },
    "0-RTT received",
  ],
  [
    "0-RTT refused by HelloRetryRequest",
    (scenario) => {
      scenario.resume = "early";
      scenario.tls.helloRetry = true;
    },
    "0-RTT refused",
  ],
  ["another version", (scenario) => (scenario.serverConfig.versions = [VERSION_2, VERSION_1]), "version changed"],
  [
    "another version after Retry",
    (scenario) => {
      scenario.clientConfig.versions = [VERSION_2, VERSION_1];
      scenario.retry = "always";
    },
    "version changed",
  ],
  [
    "Version Negotiation",
    (scenario) => {
      scenario.clientConfig.firstVersion = VERSION_2;
      scenario.serverConfig.versions = [VERSION_1];
    },
    "began again in another version",
  ],
  [
    "0-RTT of version 2",
    (scenario) => {
      scenario.clientConfig.versions = [VERSION_2];
      scenario.resume = "early";
    },
    "0-RTT received",
  ],
  ["client authentication", (scenario) => (scenario.tls.clientAuth = true)],
];
const SIDES = ["forward", "backward", "both"] as const;

function boundMicros(lost: number): number {
  let bound = ROUND_TRIPS_MICROS;
  for (let i = 0; i < lost; i++) bound += Math.min(FIRST_PTO_MICROS * 2 ** i, MAX_PTO_MICROS);
  return bound;
}

function runBitmap(mode: Mode, scratch: SimScratch, side: string, bitmap: number, change: (s: Scenario) => void) {
  const scenario = plainScenario(bitmap);
  change(scenario);
  scenario.clientConfig.handshakeTimeoutMillis = scenario.serverConfig.handshakeTimeoutMillis = 1_000_000;
  scenario.clientConfig.maxIdleTimeoutMillis = scenario.serverConfig.maxIdleTimeoutMillis = 0;
  if (side !== "backward") scenario.forward.exact = bitmap;
  if (side !== "forward") scenario.backward.exact = bitmap;
  let lost = 0;
  for (let bits = bitmap; bits !== 0; bits >>= 1) lost += bits & 1;
  const what = `bitmap ${bitmap.toString(2).padStart(DATAGRAMS, "0")} ${side}`;
  try {
    const outcome = runScenario(scenario, mode, { scratch });
    const bound = boundMicros(side === "both" ? 2 * lost : lost);
    assert.equal(outcome.end, "finished");
    assert.ok(outcome.virtualMicros <= bound, `took ${outcome.virtualMicros} µs, the bound is ${bound}`);
    return outcome.marks;
  } catch (error) {
    throw new Error(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

describe("handshake loss", () => {
  const scratch = new SimScratch();
  for (const [name, change, mark] of KINDS) {
    for (const side of SIDES) {
      test(`RFC 9002 §6.2 ${name}: all ${BITMAPS} bitmaps of losses ${side} complete in time`, () => {
        const mode = nullMode();
        let marked = 0;
        for (let bitmap = 1; bitmap <= BITMAPS; bitmap++) {
          const marks = runBitmap(mode, scratch, side, bitmap, change);
          if (mark === undefined || marks.has(mark)) marked++;
        }
        assert.ok(marked > BITMAPS / 4, `"${mark}" in ${marked} runs`);
      });
    }
  }

  test("the same with real TLS and AEAD, one bitmap in five of each kind", () => {
    const mode = realMode(process.env);
    KINDS.forEach(([, change], kind) => {
      for (let bitmap = 1 + kind; bitmap <= BITMAPS; bitmap += 5) {
        runBitmap(mode, scratch, SIDES[bitmap % 3], bitmap, change);
      }
    });
  });
});
