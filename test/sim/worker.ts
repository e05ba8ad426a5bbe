/** A child process of `crew.ts`: runs the blocks of seeds that it is sent, until nobody asks any more. */

import { runCampaign } from "./campaign.js";
import type { Block } from "./crew.js";
import { type Mode, type ModeName, nullMode, realMode } from "./modes.js";

const modes = new Map<ModeName, Mode>();

process.on("message", (message) => {
  const { mode: name, firstSeed, seeds, maxFailures } = message as Block;
  let mode = modes.get(name);
  if (mode === undefined) modes.set(name, (mode = name === "null" ? nullMode() : realMode(process.env)));
  process.send?.(runCampaign(mode, { firstSeed, seeds, maxFailures }));
});
