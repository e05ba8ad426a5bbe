/** Congestion controllers by name. */

import { Bbr } from "./bbr.js";
import type { CongestionController, CongestionName } from "./controller.js";
import { Cubic } from "./cubic.js";
import { NewReno } from "./newreno.js";

export function makeController(name: CongestionName, datagramBytes: number): CongestionController {
  if (name === "bbr") return new Bbr(datagramBytes);
  return name === "cubic" ? new Cubic(datagramBytes) : new NewReno(datagramBytes);
}
