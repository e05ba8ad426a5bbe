/** The datapath that all parts of the API in one process share, chosen at the first use so that importing never fails. */

import { chooseDatapath, type Datapath } from "../runtime/choose.js";

let datapath: Datapath | null = null;

/** @throws Error `ERR_NETQUIC_NO_ADDON` or `ERR_INVALID_ARG_VALUE` as chooseDatapath does. */
export function sharedDatapath(): Datapath {
  if (datapath !== null) return datapath;
  datapath = chooseDatapath(process.env);
  for (const note of datapath.notes) process.emitWarning(note, { type: "NetquicWarning" });
  return datapath;
}
