/**
 * Dimensions that are whole in one place: the chance that a seed has one, what it draws, and what it makes happen during
 * the run. A new one is a row at the end of `ROWS`, so that a seed keeps its other draws; the rare things that it is to
 * bring about are rows in `marks.ts`. (What is older is drawn in `scenario.ts`.)
 */

import type { ConnectionConfig } from "#src/conn/config.js";
import { VERSION_1, VERSION_2 } from "#src/proto/version.js";
import {
  type Copier,
  type CopierOptions,
  type Host,
  type Nat,
  type Prng,
  simAddress,
  type Simulation,
} from "#src/sim/index.js";
import { STREAM_UNI } from "#src/port/transport.js";
import type { Connection } from "#src/conn/connection.js";
import { ADDR_COLS, ADDR_IP0, ADDR_IP3, ADDR_LOCAL_IP0, ICMP_TOO_BIG } from "#src/port/udp.js";
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

/** What a NAT gives the client first. */
export const FIRST_PUBLIC = simAddress(203, 0, 113, 1, 1024);

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
  {
    name: "restart", // another process with the same secret (RFC 9000 §10.3)
    chance: 0.02,
    draw(scenario, prng) {
      if (scenario.kill !== undefined) return; // a host that is gone stays away
      scenario.restartMicros = Math.floor(prng.logUniform(20_000, 3_000_000));
      scenario.mayTimeOut = true;
      const atMicros = scenario.restartMicros;
      scenario.acts.push({ what: "restart", atMicros, run: (world) => world.mark("server restarted") });
    },
  },
  {
    name: "delaySteps", // another route
    chance: 0.15,
    draw(scenario, prng) {
      for (const way of [scenario.forward, scenario.backward]) {
        if (prng.chance(0.25)) continue;
        way.delaySteps = Array.from({ length: prng.range(1, 4) }, () => ({
          atMicros: Math.floor(prng.logUniform(10_000, 3_000_000)),
          baseMicros: Math.floor(prng.logUniform(50, 750_000)),
        }));
      }
    },
  },
  {
    name: "policer",
    chance: 0.1,
    draw(scenario, prng) {
      const bitsPerSec = prng.logUniform(100_000, 1e8);
      prng.pick([scenario.forward, scenario.backward]).policer = {
        bitsPerSec,
        burstBytes: Math.floor(prng.logUniform(5000, 200_000)),
      };
    },
  },
  {
    name: "slots", // acknowledgements, or all, come in bursts
    chance: 0.1,
    draw(scenario, prng) {
      const slotMicros = Math.floor(prng.logUniform(500, 50_000));
      for (const way of prng.pick([[scenario.forward], [scenario.backward], [scenario.forward, scenario.backward]])) {
        way.slotMicros = slotMicros;
      }
    },
  },
  {
    name: "ecnChanges",
    chance: 0.15,
    draw({ forward, backward }, prng) {
      for (const way of [forward, backward]) {
        const remarks = prng.chance(0.3);
        const flips = Array.from({ length: prng.range(1, 4) }, () => Math.floor(prng.logUniform(10_000, 2_000_000)));
        const ecn = { bleach: false, markChance: 0, ...way.ecn, remarks };
        if (prng.chance(0.7)) way.ecn = remarks ? ecn : { ...ecn, flipMicros: flips };
      }
    },
  },
  {
    name: "stalls", // a process that is stopped, or a machine that sleeps: for its clock, a jump
    chance: 0.06,
    draw(scenario, prng) {
      scenario.mayTimeOut = true;
      for (let left = prng.range(1, 3); left > 0; left--) {
        const host = prng.pick(["clientHost", "serverHost"] as const);
        const micros = Math.floor(prng.logUniform(1000, LONGEST_STALL_MICROS));
        const atMicros = Math.floor(prng.logUniform(1000, 3_000_000));
        scenario.acts.push({
          what: `${host} stops for ${micros} µs`,
          atMicros,
          run: (world) => stall(world, host, micros),
        });
      }
    },
  },
  {
    name: "coarseClock",
    chance: 0.1,
    draw(scenario, prng) {
      for (const host of ["clientHost", "serverHost"] as const) {
        scenario[host] = { ...scenario[host], tickMicros: prng.pick([1, 1000, 10_000, 16_000]) };
      }
    },
  },
  {
    name: "wallClock", // for tickets and tokens
    chance: 0.1,
    draw(scenario, prng) {
      for (let left = prng.range(1, 3); left > 0; left--) {
        const seconds = Math.floor(prng.logUniform(1, 1_000_000)) * prng.pick([1, -1]);
        const atMicros = Math.floor(prng.logUniform(1, 1_000_000));
        const run = (world: ActWorld): void => {
          world.sim.wallOffsetSeconds += seconds;
          world.mark("wall clock set");
        };
        scenario.acts.push({ what: `the wall clock moves by ${seconds} s`, atMicros, run });
      }
    },
  },
  {
    name: "tlsFails",
    chance: 0.03,
    draw(scenario, prng) {
      scenario.tls.failOn = prng.pick(HANDSHAKE_MESSAGES);
      scenario.tls.failAlert = prng.range(1, 255);
      scenario.mayTimeOut = true;
    },
  },
  {
    name: "smallWindows",
    chance: 0.04,
    draw({ clientConfig, serverConfig, workload }, prng) {
      // a window that is not used within two round trips stays as it is
      for (const side of ["client", "server"] as const) workload[side] = { ...workload[side], readPauseMicros: 0 };
      for (const config of [clientConfig, serverConfig]) {
        config.initialMaxData = Math.floor(prng.logUniform(1, 5000));
        config.initialMaxStreamDataBidiLocal = Math.floor(prng.logUniform(1, 1000));
        config.initialMaxStreamDataBidiRemote = Math.floor(prng.logUniform(1, 1000));
        config.initialMaxStreamDataUni = Math.floor(prng.logUniform(1, 1000));
      }
    },
  },
  {
    // long enough for what only long transfers see: a queue that fills, slow start left in time, a path that shrinks
    name: "bulk",
    chance: 0.012,
    draw(scenario, prng) {
      const { on, workload, forward, backward } = scenario;
      const half = { resetAtBytes: Infinity, resetCode: 0n, stopAtBytes: Infinity, stopCode: 0n };
      const bytes = Math.floor(prng.logUniform(200_000, 1_500_000));
      workload.streams[prng.below(2)][STREAM_UNI].push({ forward: { ...half, bytes }, backward: null });
      for (const side of ["client", "server"] as const) {
        workload[side] = { ...workload[side], readPauseMicros: 0, writePauseMicros: 0, chunkBytes: 65_536 };
      }
      const bitsPerSec = prng.logUniform(5e6, 50e6);
      scenario.connections = 1;
      const shrinks = !on.mtu && prng.chance(0.5);
      for (const way of [forward, backward]) {
        for (const name of ["loss", "burst", "exact", "blackout", "duplicate", "corrupt", "policer"] as const) {
          delete way[name];
        }
        way.rate = { bitsPerSec, queuePackets: prng.range(50, 1000), markPackets: Infinity };
        way.delay = { ...way.delay, baseMicros: Math.floor(prng.logUniform(2000, 60_000)) };
        if (!shrinks) continue;
        way.mtuBytes = 1500;
        way.mtuChange = { mtuBytes: 1200, atMicros: Math.floor(prng.logUniform(200_000, 2_000_000)) };
      }
    },
  },
  {
    name: "deadAddress", // one from which the client is heard, and where nothing reaches it
    chance: 0.04,
    draw(scenario, prng) {
      const atMicros = Math.floor(prng.logUniform(50_000, 1_000_000));
      const forMicros = Math.floor(prng.logUniform(200_000, 20_000_000));
      scenario.rebindings = [
        { atMicros: Math.floor(atMicros / 2), isPortOnly: prng.chance(0.5) },
        ...scenario.rebindings,
      ];
      scenario.clientConfig.keepAliveMillis = prng.range(100, 500);
      const ip = prng.chance(0.5) ? DEAD_IP : 1;
      scenario.acts.push({ what: `dead for ${forMicros} µs`, atMicros, run: (world) => goDead(world, ip, forMicros) });
    },
  },
  {
    name: "allButOne", // of the first ten datagrams
    chance: 0.03,
    draw(scenario, prng) {
      prng.pick([scenario.forward, scenario.backward]).exact = 1023 ^ (1 << prng.below(10));
    },
  },
  {
    // version 2, compatible negotiation either way, and Version Negotiation packets (RFC 9368, RFC 9369)
    name: "versions",
    chance: 0.3,
    draw(scenario, prng) {
      const [client, server] = prng.pick(VERSION_CHOICES);
      Object.assign(scenario.clientConfig, client);
      Object.assign(scenario.serverConfig, server);
      if (client.firstVersion !== VERSION_2 || server.versions?.includes(VERSION_2) !== false) return;
      // nothing protects a Version Negotiation packet from damage: UDP's checksum has to
      scenario.on.corrupt = false;
      delete scenario.forward.corrupt;
      delete scenario.backward.corrupt;
    },
  },
  {
    // the client goes to other addresses of its own; some lead nowhere, and some that it leaves are gone (RFC 9000 §9)
    name: "migrate",
    chance: 0.25,
    draw(scenario, prng) {
      for (let left = prng.range(1, 5), host = 2; left > 0; left--) {
        if (prng.chance(0.6)) host++;
        const isDead = prng.chance(0.15);
        const vanishes = !isDead && prng.chance(0.2);
        const address = simAddress(10, 1, 0, host, 51_000 + left);
        const what = `migrates to host ${host}${isDead ? ", which is dead" : ""}${vanishes ? ", the old address is gone" : ""}`;
        const atMicros = Math.floor(prng.logUniform(20_000, 5_000_000));
        const move = { address, isDead, vanishes };
        scenario.acts.push({ what, atMicros, run: (world) => migrate(world, move) });
        // a path that is gone before the new one has answered leaves nothing to go back to
        scenario.mayTimeOut ||= vanishes;
      }
      scenario.clientConfig.keepAliveMillis ??= prng.range(200, 2000);
    },
  },
  {
    name: "preferred", // RFC 9000 §9.6
    chance: 0.15,
    draw(scenario, prng) {
      scenario.preferred = prng.chance(0.3) ? "dead" : "alive";
      scenario.clientConfig.preferredAddress = "use";
      scenario.clientConfig.keepAliveMillis ??= prng.range(200, 2000);
    },
  },
  {
    // the client's address is the system's to choose, which chooses another one (RFC 9000 §9)
    name: "reroute",
    chance: 0.15,
    draw(scenario, prng) {
      for (let left = prng.range(1, 4), host = 2; left > 0; left--) {
        if (prng.chance(0.7)) host++;
        const address = simAddress(10, 2, 0, host, 52_000 + left);
        const atMicros = Math.floor(prng.logUniform(20_000, 5_000_000));
        const what = `the system takes host ${host} for the client`;
        scenario.acts.push({ what, atMicros, run: (world) => reroute(world, address) });
      }
      scenario.clientConfig.keepAliveMillis ??= prng.range(200, 2000);
    },
  },
  {
    name: "sendFaults", // EAGAIN and ENOBUFS
    chance: 0.15,
    draw(scenario, prng) {
      for (const host of prng.pick([["clientHost"], ["serverHost"], ["clientHost", "serverHost"]] as const)) {
        const sendFaults = prng.logUniform(0.01, 0.9);
        scenario[host] = { ...scenario[host], sendFaults, sendFaultMicros: Math.floor(prng.logUniform(10, 50_000)) };
      }
    },
  },
  {
    name: "codel",
    chance: 0.1,
    draw(scenario, prng) {
      const bitsPerSec = prng.logUniform(200_000, 1e8);
      const options = {
        bitsPerSec,
        targetMicros: Math.floor(prng.logUniform(1000, 20_000)),
        intervalMicros: Math.floor(prng.logUniform(5000, 200_000)),
        marks: prng.chance(0.5),
      };
      for (const way of prng.pick([[scenario.forward], [scenario.backward], [scenario.forward, scenario.backward]])) {
        way.codel = options;
      }
    },
  },
  {
    // ICMP messages of an attacker that saw a datagram, or that guesses (RFC 9000 §14.2.1)
    name: "forgedPtb",
    chance: 0.12,
    draw(scenario, prng) {
      for (let left = prng.range(1, 20); left > 0; left--) {
        const message = {
          side: prng.pick(["client", "server"] as const),
          mtuBytes: prng.pick([0, 68, 576, 1227, 1228, 1300, prng.below(65_536)]),
          quotes: prng.chance(0.5),
        };
        const atMicros = Math.floor(prng.logUniform(1000, 5_000_000));
        const what = `the ${message.side} is told of an MTU of ${message.mtuBytes}`;
        scenario.acts.push({ what, atMicros, run: (world) => forgePtb(world, message) });
      }
    },
  },
  {
    name: "keyLimits", // RFC 9001 §6.6
    chance: 0.1,
    draw(scenario, prng) {
      const updatePackets = Math.floor(prng.logUniform(3, 500));
      // what is sent before a key may be updated again (RFC 9001 §6.1) stays far below
      scenario.keyLimits = { updatePackets, confidentialityPackets: updatePackets + 20_000 };
    },
  },
] as const satisfies readonly Row[];

type Versions = Pick<Partial<ConnectionConfig>, "versions" | "firstVersion">;
const V2_FIRST = [VERSION_2, VERSION_1];
/** Of the client and of the server. */
const VERSION_CHOICES: readonly [Versions, Versions][] = [
  [{ versions: V2_FIRST }, {}],
  [{}, { versions: V2_FIRST }],
  [{ versions: [VERSION_2] }, {}],
  [{ firstVersion: VERSION_2 }, {}],
  [{ firstVersion: VERSION_2 }, { versions: [VERSION_1, VERSION_2] }],
  [{ firstVersion: VERSION_2 }, { versions: [VERSION_1] }],
  [{ versions: V2_FIRST, firstVersion: VERSION_2 }, { versions: [VERSION_1] }],
];

/** A server may see its client at another address. */
export function mayMove({
  rebind,
  copies,
  natFlips,
  deadAddress,
  migrate,
  preferred,
  reroute,
}: Scenario["on"]): boolean {
  return rebind || copies || natFlips || deadAddress || migrate || preferred || reroute;
}

/** It becomes a sample of the RTT: a probe timeout is then three times as long, and the end of a close nine times. */
const LONGEST_STALL_MICROS = 30_000_000;
/** RFC 8446 §4, those that both libraries send: ClientHello to Finished. */
const HANDSHAKE_MESSAGES = [1, 2, 8, 11, 15, 20] as const;

const DEAD_IP = 99;
const DEAD_PORT = 7000;

function goDead(world: ActWorld, ip: number, forMicros: number): void {
  const { nat, sim } = world;
  if (!world.isConfirmed || nat.rebindings === 0) return;
  const dead = simAddress(203, 0, 113, ip, DEAD_PORT);
  nat.rebind(dead);
  sim.network.removeAlias(dead);
  sim.after(forMicros, () => nat.rebind(FIRST_PUBLIC));
  world.mark("unreachable address");
}

function stall(world: ActWorld, host: "clientHost" | "serverHost", micros: number): void {
  world[host].stall(world.sim.nowMicros + micros);
  world.mark("host stalled");
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
/** The mark of an attacker that lets the client have what its copies brought. */
export const HANDED_ON = "copies, and answers handed on";

/** A copy of a first packet would be a connection of its own: nothing is copied before all are confirmed. */
function copy(world: ActWorld, options: CopierOptions, forwards: boolean, lastMicros: number, tries: number): void {
  const { sim, copier, clientHost } = world;
  if (!world.isConfirmed) {
    if (tries > 0) sim.after(COPY_TRY_MICROS, () => copy(world, options, forwards, lastMicros, tries - 1));
    return;
  }
  copier.options = options;
  if (forwards) for (const source of options.sources) sim.network.addAlias(source, clientHost.id);
  world.mark(forwards ? HANDED_ON : "copies");
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

interface Migration {
  address: Int32Array;
  isDead: boolean;
  /** The address that is left is gone at the same moment: the client takes the new one at once. */
  vanishes: boolean;
}

function migrate(world: ActWorld, { address, isDead, vanishes }: Migration): void {
  const { sim, client, clientHost } = world;
  if (!world.isConfirmed) return;
  const socket = clientHost.addSocket(address, !isDead);
  const local = new Int32Array(ADDR_COLS);
  local.set(address.subarray(ADDR_IP0, ADDR_IP3 + 1), ADDR_LOCAL_IP0);
  for (const { conn } of client.peers) {
    const left = (conn as Connection).path.socket;
    const refusal = conn.migrate({ socket, local, isIpv4: true, force: vanishes }, sim.nowMicros);
    world.mark(refusal === null ? `migrates${isDead ? " to nowhere" : ""}` : `migration refused: ${refusal}`);
    if (refusal !== null || !vanishes) continue;
    clientHost.removeSocket(left);
    world.mark("migrates by force");
  }
}

function reroute(world: ActWorld, address: Int32Array): void {
  if (!world.isConfirmed || !world.clientHost.alive) return;
  world.clientHost.reroute(address);
  world.mark("system chose another address");
}

interface Ptb {
  side: "client" | "server";
  mtuBytes: number;
  /** It quotes a datagram of the connection; else one that never was. */
  quotes: boolean;
}

const SHORT_HEADER = 0x40;

function forgePtb(world: ActWorld, { side, mtuBytes, quotes }: Ptb): void {
  const { endpoint, peers } = world[side];
  for (const { conn } of peers) {
    const { path, peerIds } = conn as Connection;
    const id = quotes ? peerIds.current : new Uint8Array(8).fill(0xa5);
    endpoint.onIcmp(path.addr, ICMP_TOO_BIG, mtuBytes, Uint8Array.of(SHORT_HEADER, ...id));
    world.mark("forged PTB");
    if (quotes) world.mark("forged PTB that quotes an id");
  }
}
