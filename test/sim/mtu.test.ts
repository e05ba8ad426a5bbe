/** Path MTU discovery end to end (RFC 9000 §14.3): unknown sizes, black holes, paths that grow, losses that mean nothing. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TransportStats } from "#src/port/transport.js";
import { MTU_RAISE_MICROS, MTU_SEARCH_STEP_BYTES } from "#src/proto/limits.js";
import { nullMode } from "./modes.js";
import { type Outcome, runScenario } from "./run-seed.js";
import { plainScenario, type Scenario } from "./scenario.js";
import { plainWorkload } from "./workload.js";

const SECOND = 1_000_000;

/** A transfer of so many bytes from the client to the server, 10 ms each way. */
function upload(bytes: number, bitsPerSec: number, seed = 1): Scenario {
  const scenario = plainScenario(seed);
  scenario.workload = plainWorkload(1, bytes);
  const [stream] = scenario.workload.streams[0][0];
  stream.backward = { ...stream.forward, bytes: 100 };
  const queuePackets = Math.max(100, Math.ceil((bitsPerSec * 0.02) / 8 / 1200));
  scenario.forward.rate = scenario.backward.rate = { bitsPerSec, queuePackets, markPackets: Infinity };
  return scenario;
}

/** Runs it to its end; what the sender counted. */
function finish(scenario: Scenario): { stats: TransportStats; outcome: Outcome } {
  const outcome = runScenario(scenario, nullMode());
  assert.equal(outcome.end, "finished");
  const client = outcome.peers.find((peer) => !peer.conn.isServer);
  assert.ok(client !== undefined);
  return { stats: client.conn.stats(), outcome };
}

function assertFound(stats: TransportStats, carriedBytes: number): void {
  const { maxDatagramBytes } = stats;
  assert.ok(
    maxDatagramBytes <= carriedBytes && maxDatagramBytes > carriedBytes - MTU_SEARCH_STEP_BYTES,
    `${maxDatagramBytes} bytes on a path that carries ${carriedBytes}`,
  );
}

describe("path MTU", () => {
  for (const mtuBytes of [1200, 1252, 1272, 1400, 1452]) {
    test(`RFC 9000 §14.3 a path that carries ${mtuBytes} bytes: found, and no loss taken for congestion`, () => {
      const scenario = upload(2e6, 1e9);
      scenario.forward.mtuBytes = mtuBytes;
      const { stats, outcome } = finish(scenario);
      assertFound(stats, mtuBytes);
      assert.equal(stats.congestionEvents, 0);
      assert.equal(stats.packetsLost, 0);
      assert.equal(stats.mtuBlackHoles, 0);
      assert.ok(outcome.virtualMicros < SECOND, `${outcome.virtualMicros} µs`);
    });
  }

  test("jumbo datagrams are found in the first round trips, although the initial window holds none", () => {
    const scenario = upload(2e6, 1e9);
    scenario.clientConfig.maxDatagramBytes = 8952;
    const { stats } = finish(scenario);
    assert.equal(stats.maxDatagramBytes, 8952);
    assert.equal(stats.mtuProbesSent, 1);
    const mean = stats.bytesSent / stats.packetsSent;
    assert.ok(mean > 6000, `${mean} bytes a packet`);
  });

  test("what is not asked for is not probed: a short exchange stays at 1200 bytes", () => {
    const { stats } = finish(upload(5000, 1e9));
    assert.equal(stats.mtuProbesSent, 0);
    assert.equal(stats.maxDatagramBytes, 1200);
  });

  for (const congestion of ["cubic", "newreno", "bbr"] as const) {
    test(`T41 RFC 8899 §4.3 a black hole in the middle of a transfer costs a moment (${congestion})`, () => {
      const scenario = upload(6e6, 20e6);
      scenario.clientConfig.congestion = congestion;
      scenario.forward.mtuBytes = 1452;
      const healthyMicros = finish(scenario).outcome.virtualMicros;
      scenario.forward.mtuChange = { mtuBytes: 1272, atMicros: SECOND };
      const { stats, outcome } = finish(scenario);
      assert.equal(stats.mtuBlackHoles, 1);
      assertFound(stats, 1272);
      assert.ok(stats.ptoCount <= 6, `${stats.ptoCount} PTOs`);
      const more = outcome.virtualMicros - healthyMicros;
      assert.ok(more < 2 * SECOND, `${more} µs longer than the ${healthyMicros} µs without it`);
    });
  }

  test("RFC 8899 §5.1.1 a path that grows is found after the raise timer", () => {
    const scenario = upload(9e6, 100_000);
    scenario.forward.mtuBytes = 1272;
    scenario.forward.mtuChange = { mtuBytes: 1452, atMicros: 60 * SECOND };
    scenario.forward.rate = { bitsPerSec: 100_000, queuePackets: 20, markPackets: Infinity };
    const { stats, outcome } = finish(scenario);
    assert.ok(outcome.virtualMicros > MTU_RAISE_MICROS);
    assert.equal(stats.maxDatagramBytes, 1452);
    assert.equal(stats.mtuBlackHoles, 0);
  });

  test("losses of congested and bad links are not taken for black holes", () => {
    for (let seed = 1; seed <= 6; seed++) {
      const scenario = upload(1e6, 10e6, seed);
      scenario.forward.loss = seed / 100;
      scenario.forward.rate = { bitsPerSec: 10e6, queuePackets: 15, markPackets: Infinity };
      const { stats } = finish(scenario);
      assert.ok(stats.packetsLost > 0);
      assert.equal(stats.mtuBlackHoles, 0, `seed ${seed}`);
      assert.equal(stats.maxDatagramBytes, 1452, `seed ${seed}`);
    }
  });

  test("a silent path is not taken for a black hole", () => {
    const scenario = upload(5e6, 20e6);
    scenario.forward.blackout = { fromMicros: SECOND, untilMicros: 4 * SECOND };
    const { stats } = finish(scenario);
    assert.ok(stats.ptoCount > 3);
    assert.equal(stats.mtuBlackHoles, 0);
    assert.equal(stats.maxDatagramBytes, 1452);
  });
});
