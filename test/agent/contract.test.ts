/** The contracts of port/tls hold for sessions in the agent, alone and with the library of this process, at once and late. */

import { after } from "node:test";
import { agentTls } from "#src/agent/provider.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { tlsContract } from "#src/runtime/native/tls.contract.js";
import { crlContract } from "#src/runtime/native/tls-crl.contract.js";
import { pskContract } from "#src/runtime/native/tls-psk.contract.js";
import { Prng } from "#src/sim/prng.js";
import { delayedTls } from "../support/delayed-tls.js";
import { testAgent } from "./support.js";

const SEED = Number(process.env.SIM_SEED ?? 1);
const prng = new Prng(SEED, "agent-tls");
const { path, stop } = await testAgent();
after(stop);

const agent = agentTls(path);
const local = chooseTls(process.env);
const delayed = delayedTls(agent, () => prng.float());
// the leak check is about native memory, which is the agent's
tlsContract(
  `agent and ${local.name}`,
  () => agent,
  () => agent,
  0,
  true,
);
tlsContract(
  `agent behind delay (SIM_SEED=${SEED})`,
  () => delayed,
  () => delayed,
  0,
  true,
);
pskContract("agent", agent, agent);
pskContract("agent and the library here", agent, local);
crlContract("agent", agent, agent, true);
