/** The network of a scenario: the nodes of each direction in one order, and the moment when all of it becomes good. */

import {
  Aggregate,
  Blackout,
  BurstLoss,
  CodelLink,
  Corrupt,
  Delay,
  Duplicate,
  EcnMarker,
  ExactLoss,
  MtuLimit,
  type NetNode,
  Policer,
  Prng,
  RandomLoss,
  RateLimit,
  Reorder,
  type Simulation,
} from "#src/sim/index.js";
import type { DirectionPlan } from "./scenario.js";

export interface Direction {
  nodes: NetNode[];
  corrupt: Corrupt | null;
  /** From now on nothing is lost, changed, repeated or reordered here. Delay, rate and MTU stay. */
  becomeGood(): void;
}

/** `name` seeds the draws of this direction, one named stream for each node. */
export function buildDirection(sim: Simulation, plan: DirectionPlan, seed: number, name: string): Direction {
  const nodes: NetNode[] = [];
  const cures: (() => void)[] = [];
  const prng = (node: string): Prng => new Prng(seed, `${name} ${node}`);
  let corrupt: Corrupt | null = null;
  if (plan.mtuBytes !== undefined) {
    const change = plan.mtuChange;
    const at = sim.nowMicros + (change?.atMicros ?? Infinity);
    nodes.push(new MtuLimit(sim, plan.mtuBytes, { payloadBytes: change?.mtuBytes ?? 0, atMicros: at }));
  }
  if (plan.exact !== undefined) {
    const node = new ExactLoss(sim, plan.exact);
    nodes.push(node);
    cures.push(() => (node.enabled = false));
  }
  if (plan.blackout !== undefined) {
    const { fromMicros, untilMicros } = plan.blackout;
    const node = new Blackout(sim, sim.nowMicros + fromMicros, sim.nowMicros + untilMicros);
    nodes.push(node);
    cures.push(() => (node.untilMicros = 0));
  }
  if (plan.loss !== undefined) {
    const node = new RandomLoss(sim, prng("loss"), plan.loss);
    nodes.push(node);
    cures.push(() => (node.probability = 0));
  }
  if (plan.burst !== undefined) {
    const node = new BurstLoss(sim, prng("burst"), plan.burst);
    nodes.push(node);
    cures.push(() => (node.enabled = false));
  }
  if (plan.rate !== undefined) {
    const node = new RateLimit(sim, plan.rate);
    nodes.push(node);
    cures.push(() => (node.options = { ...node.options, queuePackets: 10_000 }));
  }
  if (plan.codel !== undefined) {
    const node = new CodelLink(sim, plan.codel);
    nodes.push(node);
    cures.push(() => (node.enabled = false));
  }
  if (plan.policer !== undefined) {
    const node = new Policer(sim, plan.policer);
    nodes.push(node);
    cures.push(() => (node.enabled = false));
  }
  if (plan.ecn !== undefined) {
    const { bleach, markChance, remarks = false, flipMicros = [] } = plan.ecn;
    const node = new EcnMarker(prng("ecn"), bleach, markChance);
    node.remarks = remarks;
    for (const micros of flipMicros) sim.after(micros, () => (node.bleach = !node.bleach));
    nodes.push(node);
  }
  if (plan.duplicate !== undefined) {
    const node = new Duplicate(sim, prng("duplicate"), plan.duplicate);
    nodes.push(node);
    cures.push(() => (node.options = { ...node.options, chance: 0 }));
  }
  if (plan.corrupt !== undefined) {
    const node = new Corrupt(prng("corrupt"), plan.corrupt);
    corrupt = node;
    nodes.push(node);
    cures.push(() => (node.chance = 0));
  }
  const delay = new Delay(sim, prng("delay"), plan.delay);
  nodes.push(delay);
  for (const { atMicros, baseMicros } of plan.delaySteps ?? []) {
    sim.after(atMicros, () => (delay.options = { ...delay.options, baseMicros }));
  }
  if (plan.slotMicros !== undefined) nodes.push(new Aggregate(sim, plan.slotMicros));
  if (plan.reorder !== undefined) {
    const node = new Reorder(sim, prng("reorder"), plan.reorder);
    nodes.push(node);
    cures.push(() => (node.options = { ...node.options, chance: 0 }));
  }
  const becomeGood = (): void => cures.forEach((cure) => void cure());
  return { nodes, corrupt, becomeGood };
}
