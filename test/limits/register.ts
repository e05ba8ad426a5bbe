/** Loaded before anything else by a test process that runs with one limit switched off; the environment says which. */

import { register } from "node:module";
import type { Mutation } from "./hooks.js";

const data = JSON.parse(process.env.NETQUIC_WITHOUT ?? "null") as Mutation | null;
if (data !== null) register<Mutation>("./hooks.js", import.meta.url, { data });
