/** Where a datagram goes: rows of the address table of a batch, and the socket that the batch leaves from (port/udp). */

import { ADDR_COLS, type TxBatch } from "../port/udp.js";

/**
 * The row of `tx.dests` for this address: the last one when it is the same, else a new one; -1 when there is no room. A
 * batch that leaves from another socket has none.
 */
export function destRow(tx: TxBatch, addr: Int32Array, socket: number): number {
  if (tx.socket !== socket && !takeSocket(tx, socket)) return -1;
  const last = tx.destCount - 1;
  if (last >= 0) {
    let same = true;
    for (let i = 0; i < ADDR_COLS && same; i++) same = tx.dests[last * ADDR_COLS + i] === addr[i];
    if (same) return last;
  }
  if (!hasRow(tx)) return -1;
  tx.dests.set(addr, tx.destCount * ADDR_COLS);
  return tx.destCount++;
}

/** Whether one more address of that socket fits. */
export function hasDestRoom(tx: TxBatch, socket: number): boolean {
  return (tx.socket === socket || tx.count === 0) && hasRow(tx);
}

/** A batch without datagrams is anybody's: addresses in it were asked for in vain. */
function takeSocket(tx: TxBatch, socket: number): boolean {
  if (tx.count > 0) return false;
  tx.socket = socket;
  tx.destCount = 0;
  return true;
}

function hasRow(tx: TxBatch): boolean {
  return (tx.destCount + 1) * ADDR_COLS <= tx.dests.length;
}
