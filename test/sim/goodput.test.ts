/** E5: on a clean link the transport fills it; with a little loss it keeps what its congestion controller allows. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CONTROLLERS, measureGoodput } from "./goodput.js";
import { nullMode } from "./modes.js";
import { runScenario } from "./run-seed.js";
import { plainScenario, type Scenario } from "./scenario.js";
import { plainWorkload } from "./workload.js";

const SECOND = 1e6;

function downloadScenario(seed: number, bytes: number, bitsPerSec: number, oneWayMicros: number): Scenario {
  const scenario = plainScenario(seed);
  scenario.workload = plainWorkload(1, bytes);
  scenario.workload.streams[0][0][0].forward.bytes = 100;
  // One bandwidth-delay product of queue, as routers are told to have.
  const queuePackets = Math.max(20, Math.ceil((bitsPerSec * 2 * oneWayMicros) / SECOND / 8 / 1480));
  const rate = { bitsPerSec, queuePackets, markPackets: Infinity };
  for (const direction of [scenario.forward, scenario.backward]) {
    direction.rate = rate;
    direction.delay = { ...direction.delay, baseMicros: oneWayMicros };
  }
  return scenario;
}

/** Stream bytes per second over the whole run, handshake included, as a share of the link. */
function linkShare(scenario: Scenario, bytes: number, bitsPerSec: number): number {
  const outcome = runScenario(scenario, nullMode());
  assert.equal(outcome.end, "finished");
  return (bytes * 8) / (outcome.virtualMicros / SECOND) / bitsPerSec;
}

describe("goodput", () => {
  const cases: [string, number, number, number, number][] = [
    // name, bytes, bits per second, one way delay, least share of the link
    ["10 Mbit/s, 20 ms", 8e6, 10e6, 10_000, 0.9],
    ["50 Mbit/s, 40 ms", 40e6, 50e6, 20_000, 0.9],
    ["1 Mbit/s, 200 ms", 2e6, 1e6, 100_000, 0.9],
    ["20 Mbit/s, satellite 600 ms", 60e6, 20e6, 300_000, 0.6],
  ];
  for (const congestion of ["cubic", "newreno", "bbr"] as const) {
    for (const [name, bytes, bitsPerSec, oneWayMicros, least] of cases) {
      test(`RFC 9002 §7 ${congestion} fills a clean link: ${name}`, () => {
        const scenario = downloadScenario(1, bytes, bitsPerSec, oneWayMicros);
        scenario.serverConfig.congestion = congestion;
        const share = linkShare(scenario, bytes, bitsPerSec);
        // BBR leaves a little of the link on purpose, to see its least RTT
        assert.ok(share >= (congestion === "bbr" ? least - 0.05 : least), `${(100 * share).toFixed(1)} % of the link`);
      });
    }

    test(`RFC 9002 §7 ${congestion} keeps a fair part of 10 Mbit/s, 20 ms with 1 % loss`, () => {
      const scenario = downloadScenario(1, 12e6, 10e6, 10_000);
      scenario.serverConfig.congestion = congestion;
      scenario.backward.loss = 0.01;
      const share = linkShare(scenario, 12e6, 10e6);
      // Mathis: 1452 B * 1.22 / (20 ms * sqrt(0.01)) = 7.1 Mbit/s
      assert.ok(share >= 0.7 * 0.71, `${(100 * share).toFixed(1)} % of the link`);
    });
  }
});

describe("goodput in the long run", () => {
  // Some of the grid in docs/simulation.md that take little time.
  const cells = [
    [1e6, 1],
    [1e6, 300],
    [10e6, 10],
    [30e6, 50],
  ];
  for (const congestion of CONTROLLERS) {
    test(`RFC 9002 §7 ${congestion} fills clean links of 1 to 30 Mbit/s and 1 to 300 ms`, () => {
      for (const [bitsPerSec, rttMillis] of cells) {
        const { share } = measureGoodput({ congestion, bitsPerSec, rttMicros: rttMillis * 1000 });
        // BBR halves its window for half a second out of five to see the least RTT, which costs the more the longer that is
        const least = congestion === "bbr" && rttMillis === 300 ? 0.88 : 0.9;
        assert.ok(share >= least, `${bitsPerSec / 1e6} Mbit/s, ${rttMillis} ms: ${(100 * share).toFixed(1)} %`);
      }
    });
  }

  test("RFC 9000 §4.2 credit comes early enough: a window smaller than the path, or about as large, is used", () => {
    for (const windowBytes of [65_536, 262_144, 393_216, 786_432]) {
      // 30 Mbit/s times 100 ms are 375 KB
      const cell = { congestion: "cubic", bitsPerSec: 30e6, rttMicros: 100_000, windowBytes } as const;
      const { share } = measureGoodput(cell);
      assert.ok(share >= 0.9, `${windowBytes} bytes: ${(100 * share).toFixed(1)} %`);
    }
  });
});
