/** Where a datagram goes: rows of the address table of a batch (port/udp). */

import { ADDR_COLS, type TxBatch } from "../port/udp.js";

/** The row of `tx.dests` for this address: the last one when it is the same, else a new one; -1 when there is no room. */
export function destRow(tx: TxBatch, addr: Int32Array): number {
  const last = tx.destCount - 1;
  if (last >= 0) {
    let same = true;
    for (let i = 0; i < ADDR_COLS && same; i++) same = tx.dests[last * ADDR_COLS + i] === addr[i];
    if (same) return last;
  }
  if (!hasDestRoom(tx)) return -1;
  tx.dests.set(addr, tx.destCount * ADDR_COLS);
  return tx.destCount++;
}

/** Whether one more address fits. */
export function hasDestRoom(tx: TxBatch): boolean {
  return (tx.destCount + 1) * ADDR_COLS <= tx.dests.length;
}
