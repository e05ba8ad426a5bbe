/** The fine timer of port/clock on the addon (addon/timer.cc): a timerfd, late by tens of microseconds. */

import type { FineTimer } from "../../port/clock.js";
import { systemError } from "../system-error.js";
import { loadAddon } from "./addon.js";

interface TimerAddon {
  timerOpen(onTime: () => void): number;
  timerArm(handle: number, delayMicros: number): void;
  timerClose(handle: number): void;
}

/** @throws an Error with the system's code when there is no descriptor left (EMFILE). */
export function newNativeTimer(onTime: () => void): FineTimer {
  const addon = loadAddon<TimerAddon>();
  let handle = addon.timerOpen(() => {
    if (handle >= 0) onTime();
  });
  if (handle < 0) throw systemError(-handle, "timerfd_create");
  return {
    arm: (delayMicros) => {
      if (handle >= 0) addon.timerArm(handle, Math.max(delayMicros, 0));
    },
    close: () => {
      addon.timerClose(handle);
      handle = -1;
    },
  };
}
