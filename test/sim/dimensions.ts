/**
 * Dimensions that are whole in one place: the chance that a seed has one, what it draws, and what it makes happen during
 * the run. A new one is a row at the end of `ROWS`, so that a seed keeps its other draws; the rare things that it is to
 * bring about are rows in `marks.ts`. (What is older is drawn in `scenario.ts`.)
 */

import type { Host, Nat, Prng, Simulation } from "#src/sim/index.js";
import type { Program } from "./program.js";
import type { Scenario } from "./scenario.js";

/** What an act may reach of a run under way. */
export interface ActWorld {
  readonly sim: Simulation;
  readonly client: Program;
  readonly server: Program;
  readonly clientHost: Host;
  readonly serverHost: Host;
  /** In front of the client; does nothing until it is enabled. */
  readonly nat: Nat;
  /** Notes a rare event (`marks.ts`). */
  mark(name: string): void;
}

/** Something that happens at a time after the start. */
export interface Act {
  /** For the print of a scenario. */
  what: string;
  atMicros: number;
  run(world: ActWorld): void;
}

interface Row {
  readonly name: string;
  /** Chance that a seed has it. */
  readonly chance: number;
  /** Changes the scenario, acts included. `prng` is of this row alone; all other dimensions are drawn. */
  draw(scenario: Scenario, prng: Prng): void;
}

export const ROWS = [
  {
    name: "vanish",
    chance: 0.02,
    draw(scenario, prng) {
      const host = prng.pick(["client", "server"] as const);
      scenario.kill = { host, atMicros: Math.floor(prng.logUniform(1000, 5_000_000)) };
      scenario.mayTimeOut = true;
    },
  },
  {
    name: "noAckFrequency", // draft-ietf-quic-ack-frequency §3: each side says for itself whether it may be asked
    chance: 0.3,
    draw({ clientConfig, serverConfig }, prng) {
      const sides = prng.pick([[clientConfig], [serverConfig], [clientConfig, serverConfig]]);
      for (const config of sides) config.ackFrequency = false;
    },
  },
] as const satisfies readonly Row[];
