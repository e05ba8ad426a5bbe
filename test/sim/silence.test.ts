/** A peer that is killed, a path that goes silent, a path that loses a third: a typed end or a finished transfer. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SimScratch } from "#src/sim/index.js";
import { type Mode, nullMode, realMode } from "./modes.js";
import { type Outcome, runScenario } from "./run-seed.js";
import { plainScenario, type Scenario } from "./scenario.js";
import { plainWorkload } from "./workload.js";

const MILLI = 1000;
const SECOND = 1_000_000;
const scratch = new SimScratch();
/** From before the first datagram arrives to deep inside a transfer of some seconds. */
const TIMES_MILLIS = [0, 5, 15, 25, 35, 45, 70, 150, 400, 1500];
const HANDSHAKE_MILLIS = 10_000;
const IDLE_MILLIS = 30_000;

function transferScenario(seed: number, bytes: number): Scenario {
  const scenario = plainScenario(seed);
  scenario.workload = plainWorkload(2, bytes);
  scenario.mayTimeOut = true;
  for (const config of [scenario.clientConfig, scenario.serverConfig]) {
    config.handshakeTimeoutMillis = HANDSHAKE_MILLIS;
    config.maxIdleTimeoutMillis = IDLE_MILLIS;
  }
  const rate = { bitsPerSec: 2e6, queuePackets: 50, markPackets: Infinity };
  scenario.forward.rate = scenario.backward.rate = rate;
  return scenario;
}

/** Every end that is there speaks of a timeout, in time. */
function assertTimedOut(outcome: Outcome, sinceMillis: number, who: (isServer: boolean) => boolean): void {
  assert.equal(outcome.end, "closed");
  for (const peer of outcome.peers) {
    if (!who(peer.conn.isServer)) continue;
    const type = peer.closed?.type;
    assert.ok(type === "idle-timeout" || type === "handshake-timeout", `${peer.describe()}`);
  }
  const most = (sinceMillis + IDLE_MILLIS) * MILLI + 5 * SECOND;
  assert.ok(outcome.virtualMicros <= most, `ended after ${outcome.virtualMicros} µs, the bound is ${most}`);
}

function modes(): Mode[] {
  return [nullMode(), realMode(process.env)];
}

describe("silence", () => {
  for (const mode of modes()) {
    for (const host of ["client", "server"] as const) {
      test(`RFC 9000 §10.1 the ${host} is killed: the other end times out (${mode.name})`, () => {
        for (const atMillis of TIMES_MILLIS) {
          const scenario = transferScenario(atMillis + 1, 2_000_000);
          scenario.kill = { host, atMicros: atMillis * MILLI };
          const outcome = runScenario(scenario, mode, { scratch });
          assertTimedOut(outcome, atMillis, (isServer) => isServer === (host === "client"));
        }
      });
    }

    for (const side of ["forward", "backward", "both"] as const) {
      test(`RFC 9000 §10.1 the path goes silent ${side}: both ends time out (${mode.name})`, () => {
        for (const atMillis of TIMES_MILLIS) {
          const scenario = transferScenario(atMillis + 1, 2_000_000);
          const blackout = { fromMicros: atMillis * MILLI, untilMicros: Infinity };
          if (side !== "backward") scenario.forward.blackout = blackout;
          if (side !== "forward") scenario.backward.blackout = blackout;
          const outcome = runScenario(scenario, mode, { scratch });
          // Who still hears the other's probes, times out after these end; its own next probe starts the time anew.
          const heardMillis = side === "both" ? 0 : 2 * IDLE_MILLIS;
          assertTimedOut(outcome, atMillis + heardMillis, () => true);
        }
      });
    }

    test(`RFC 9002 §6 30 % loss each way: transfers finish (${mode.name})`, () => {
      const count = mode.name === "null" ? 40 : 6;
      for (let seed = 1; seed <= count; seed++) {
        const scenario = transferScenario(seed, 60_000);
        scenario.forward.loss = scenario.backward.loss = 0.3;
        for (const config of [scenario.clientConfig, scenario.serverConfig]) config.handshakeTimeoutMillis = 60_000;
        const outcome = runScenario(scenario, mode, { scratch });
        const ends = outcome.peers.map((peer) => peer.closed?.type);
        assert.equal(outcome.end, "finished", `seed ${seed}: ${ends}`);
      }
    });
  }

  test("RFC 9000 §10.3 a server that lost its state resets its clients, at once and for good", () => {
    for (const atMillis of [70, 150, 400, 1500]) {
      const scenario = transferScenario(atMillis, 2_000_000);
      scenario.connections = 3;
      scenario.restartMicros = atMillis * MILLI;
      const outcome = runScenario(scenario, nullMode(), { scratch });
      const clients = outcome.peers.filter((peer) => !peer.conn.isServer);
      assert.deepEqual(
        clients.map((peer) => peer.closed?.type),
        ["stateless-reset", "stateless-reset", "stateless-reset"],
      );
      assert.ok(outcome.virtualMicros < atMillis * MILLI + 2 * SECOND, `after ${outcome.virtualMicros} µs`);
    }
  });

  test("RFC 9000 §14 a path that carries less than 1200 bytes ends in a handshake timeout", () => {
    const scenario = transferScenario(1, 1000);
    scenario.forward.mtuBytes = 1100;
    const outcome = runScenario(scenario, nullMode(), { scratch });
    assert.equal(outcome.peers[0].closed?.type, "handshake-timeout");
  });
});
