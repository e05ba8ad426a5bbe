/** How long the event loop stays awake after something arrived (addon/spin.h). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ADDR_COLS, ADDR_IP2, ADDR_IP3, RX_COLS } from "../../port/udp.js";
import { loopTurns } from "../udp.contract.js";
import { loadAddon } from "./addon.js";

interface Addon {
  udpOpen(...args: unknown[]): number;
  udpRecv(handle: number, buf: Uint8Array, rows: Int32Array, sources: Int32Array): number;
  udpSend(handle: number, buf: Uint8Array, rows: Int32Array, count: number, dests: Int32Array, dest: number): boolean;
  udpClose(handle: number): void;
}

const STAT_DATAGRAMS_RECEIVED = 0;
const STAT_SPINS = 13;
/** How long a spin lasts after the last arrival (addon/spin.h). */
const SPIN_MILLIS = 0.1;
const addon = loadAddon<Addon>();

/** A socket that sends to itself, and reads what arrived before it says so. */
class Self {
  readonly box = new Float64Array(16);
  onArrival = (): void => {};
  private readonly address = new Int32Array(ADDR_COLS);
  private readonly buf = new Uint8Array(70_000);
  private readonly handle: number;

  constructor() {
    const any = new Int32Array(ADDR_COLS);
    any[ADDR_IP2] = 0xffff;
    any[ADDR_IP3] = 0x7f000001;
    const rows = new Int32Array(RX_COLS * 256);
    const sources = new Int32Array(ADDR_COLS);
    this.handle = addon.udpOpen(any, this.address, 0, 65_536, 65_536, this.box, () => {
      if (addon.udpRecv(this.handle, this.buf, rows, sources) > 0) this.onArrival();
    });
  }

  send(): void {
    addon.udpSend(this.handle, this.buf, Int32Array.of(0, 10, 0, 0, 0), 1, this.address, 1);
  }

  close(): void {
    addon.udpClose(this.handle);
  }
}

test("arrivals one right after the other are one spin, which ends after the last", async (t) => {
  const self = new Self();
  t.after(() => self.close());
  let pauses = 0;
  await new Promise<void>((resolve) => {
    let left = 200;
    let lastAt = performance.now();
    self.onArrival = () => {
      const now = performance.now();
      if (now - lastAt >= SPIN_MILLIS) pauses++;
      lastAt = now;
      if (--left > 0) self.send();
      else resolve();
    };
    self.send();
  });
  assert.equal(self.box[STAT_DATAGRAMS_RECEIVED], 200);
  const spins = self.box[STAT_SPINS] as number;
  assert.ok(spins >= 1 && spins <= 1 + pauses, `${spins} spins, ${pauses} pauses of the machine`);
  await new Promise((resolve) => setTimeout(resolve, 5));
  const before = loopTurns();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const turns = loopTurns() - before;
  assert.ok(turns < 100, `${turns} turns of the loop in 50 ms of rest`);
});

/**
 * Sends one datagram and waits for it; whether the machine paused the process between its arrival and the poll after it.
 * A spin is timed from that poll, so after such a pause what is sent next may come within it.
 */
async function arrive(self: Self): Promise<boolean> {
  const arrivedAt = await new Promise<number>((resolve) => {
    self.onArrival = () => resolve(performance.now());
    self.send();
  });
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  return performance.now() - arrivedAt > 1;
}

test("arrivals with gaps between them soon begin no more spins", async (t) => {
  const self = new Self();
  t.after(() => self.close());
  let pauses = 0;
  for (let i = 0; i < 60; i++) {
    if (await arrive(self)) pauses++;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  // In vain at the arrivals 1, 3, 7, 15, 31: twice as many apart each time, and from the start after one that was not.
  const spins = self.box[STAT_SPINS] as number;
  assert.ok(spins >= 1 && spins <= 6 * (1 + pauses), `${spins} spins for 60 arrivals, ${pauses} pauses`);
});
