/**
 * Dimensions that are whole in one place: the chance that a seed has one, what it draws, and what it makes happen during
 * the run. A new one is a row at the end of `ROWS`, so that a seed keeps its other draws; the rare things that it is to
 * bring about are rows in `marks.ts`. (What is older is drawn in `scenario.ts`.)
 */

import {
  type Copier,
  type CopierOptions,
  type Host,
  type Nat,
  type Prng,
  simAddress,
  type Simulation,
} from "#src/sim/index.js";
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
  /** Behind it, on the way to the server; copies nothing until it is told to. */
  readonly copier: Copier;
  /** No handshake is under way. */
  readonly isConfirmed: boolean;
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
  {
    // an attacker whose copies of the client's packets come from elsewhere (RFC 9000 §9.3.1 to §9.3.3)
    name: "copies",
    chance: 0.15,
    draw(scenario, prng) {
      const chance = prng.logUniform(0.01, 1);
      const latestMicros = Math.floor(scenario.forward.delay.baseMicros * prng.pick([0.1, 1, 2]));
      const forwards = prng.chance(0.5);
      const sources = Array.from({ length: prng.range(1, 6) }, (_, i) =>
        attackerAddress(forwards, i, prng.chance(0.5)),
      );
      const atMicros = Math.floor(prng.logUniform(10_000, 500_000));
      const lastMicros = Math.floor(prng.logUniform(10_000, 3_000_000));
      const what = `copies of ${Math.round(chance * 100)} % come from ${sources.length} addresses`;
      const options = { chance, sources, latestMicros };
      scenario.acts.push({ what, atMicros, run: (world) => copy(world, options, forwards, lastMicros, COPY_TRIES) });
      // a server does not find an address from which nothing comes
      scenario.clientConfig.keepAliveMillis ??= prng.range(200, 2000);
    },
  },
  {
    // a NAT that goes to and fro between addresses that the server has seen before, the host's own among them
    name: "natFlips",
    chance: 0.12,
    draw(scenario, prng) {
      const addresses = [null, simAddress(203, 0, 113, 201, 7000), simAddress(203, 0, 113, prng.range(201, 202), 7001)];
      for (let left = prng.range(2, 12); left > 0; left--) {
        const address = prng.pick(addresses);
        const atMicros = Math.floor(prng.logUniform(20_000, 3_000_000));
        const what = `the NAT takes address ${addresses.indexOf(address)}`;
        scenario.acts.push({ what, atMicros, run: (world) => flip(world, address) });
      }
      scenario.clientConfig.keepAliveMillis ??= prng.range(200, 2000);
    },
  },
  {
    name: "plaintext", // disable_1rtt_encryption of both sides, or of one, which changes nothing
    chance: 0.06,
    draw(scenario, prng) {
      const { clientConfig, serverConfig } = scenario;
      const sides = prng.pick([
        [clientConfig, serverConfig],
        [clientConfig, serverConfig],
        [clientConfig],
        [serverConfig],
      ]);
      for (const config of sides) config.disable1RttEncryption = true;
      if (sides.length < 2) return;
      // nobody notices damage then: UDP's checksum has to
      scenario.on.corrupt = false;
      delete scenario.forward.corrupt;
      delete scenario.backward.corrupt;
    },
  },
] as const satisfies readonly Row[];

/** A server may see its client at another address. */
export function mayMove({ rebind, copies, natFlips }: Scenario["on"]): boolean {
  return rebind || copies || natFlips;
}

const ATTACKER_PORT = 6000;

/** Answers to 198.51.100.0/24 are lost, those to 192.0.2.0/24 reach the client. */
function attackerAddress(forwards: boolean, index: number, isNewHost: boolean): Int32Array {
  const host = isNewHost ? index + 2 : 1;
  return forwards
    ? simAddress(192, 0, 2, host, ATTACKER_PORT + index)
    : simAddress(198, 51, 100, host, ATTACKER_PORT + index);
}

const COPY_TRIES = 50;
const COPY_TRY_MICROS = 20_000;

/** A copy of a first packet would be a connection of its own: nothing is copied before all are confirmed. */
function copy(world: ActWorld, options: CopierOptions, forwards: boolean, lastMicros: number, tries: number): void {
  const { sim, copier, clientHost } = world;
  if (!world.isConfirmed) {
    if (tries > 0) sim.after(COPY_TRY_MICROS, () => copy(world, options, forwards, lastMicros, tries - 1));
    return;
  }
  copier.options = options;
  if (forwards) for (const source of options.sources) sim.network.addAlias(source, clientHost.id);
  world.mark(forwards ? "copies, and answers handed on" : "copies");
  sim.after(lastMicros, () => {
    copier.options = null;
    for (const source of options.sources) sim.network.removeAlias(source);
  });
}

/** `address`: null is the host's own. */
function flip(world: ActWorld, address: Int32Array | null): void {
  if (!world.isConfirmed) return;
  const { nat } = world;
  nat.enabled = address !== null;
  if (address !== null) nat.rebind(address);
  world.mark("address of before");
}
