/** `netquic/testing`: a seeded network in virtual time for endpoints and for anything else that speaks in datagrams. */

export { Aggregate } from "./aggregate.js";
export { newRxBatch, newTxBatch, simAddress, SimScratch } from "./batches.js";
export { Blackout } from "./blackout.js";
export { CodelLink, type CodelOptions } from "./codel.js";
export { Copier, type CopierOptions } from "./copier.js";
export { Corrupt } from "./corrupt.js";
export { ADDRESS_WORDS, Datagram, DatagramPool } from "./datagram.js";
export { Delay, type DelayOptions } from "./delay.js";
export { Duplicate, type DuplicateOptions } from "./duplicate.js";
export { EcnMarker } from "./ecn.js";
export { Host, type HostOptions, type HostSetup, PROMPT_HOST, type SimApp, type SimEndpoint } from "./host.js";
export { BurstLoss, type BurstLossOptions } from "./loss-burst.js";
export { ExactLoss } from "./loss-exact.js";
export { RandomLoss } from "./loss-random.js";
export { type MtuChange, MtuLimit } from "./mtu.js";
export { Nat } from "./nat.js";
export { Network } from "./network.js";
export { DROP_CAUSES, type DropCause, type Net, type NetNode, type NetSink, type NetTimer } from "./node.js";
export { Policer, type PolicerOptions } from "./policer.js";
export { Prng } from "./prng.js";
export { RateLimit, type RateOptions } from "./rate.js";
export { Reorder, type ReorderOptions } from "./reorder.js";
export { type RunEnd, Simulation, type SimulationOptions, type WireTap } from "./simulation.js";
