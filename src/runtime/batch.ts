/** Batches of datagrams (port/udp), made once and reused; the sizes are those of the limits file. */

import { ADDR_COLS, RX_COLS, TX_COLS } from "../port/udp.js";
import type { RxBatch, TxBatch } from "../port/udp.js";
import {
  RX_BATCH_DATAGRAMS,
  RX_BATCH_SLOTS,
  RX_SLOT_BYTES,
  TX_BATCH_BYTES,
  TX_BATCH_DATAGRAMS,
} from "../proto/limits.js";

/** About 1 MiB of address space; memory is used as far as datagrams fill it. */
export function newRxBatch(): RxBatch {
  return {
    buf: new Uint8Array(RX_BATCH_SLOTS * RX_SLOT_BYTES),
    rows: new Int32Array(RX_BATCH_DATAGRAMS * RX_COLS),
    sources: new Int32Array(RX_BATCH_SLOTS * ADDR_COLS),
    count: 0,
    sourceCount: 0,
    socket: 0,
    proof: null,
  };
}

export function newTxBatch(bytes: number = TX_BATCH_BYTES): TxBatch {
  return {
    buf: new Uint8Array(bytes),
    rows: new Int32Array(TX_BATCH_DATAGRAMS * TX_COLS),
    dests: new Int32Array(TX_BATCH_DATAGRAMS * ADDR_COLS),
    count: 0,
    destCount: 0,
    used: 0,
    socket: 0,
  };
}
