/** Datagram batches of port/udp for the simulated sockets, and the filling and emptying of them. */

import { TX_BATCH_BYTES, TX_BATCH_DATAGRAMS } from "../proto/limits.js";
import {
  ADDR_COLS,
  ADDR_IP0,
  ADDR_IP2,
  ADDR_IP3,
  ADDR_LOCAL_IP0,
  ADDR_PORT,
  RX_COLS,
  RX_ECN,
  RX_LEN,
  RX_OFF,
  RX_SOURCE,
  TX_COLS,
  type RxBatch,
  type TxBatch,
} from "../port/udp.js";
import { ADDRESS_WORDS, DatagramPool, sameAddress } from "./datagram.js";

const IP_WORDS = 4;
const V4_MAPPED = 0xffff;

/** An IPv4 address as ADDR_COLS words (::ffff:a.b.c.d). */
export function simAddress(a: number, b: number, c: number, d: number, port: number): Int32Array {
  const address = new Int32Array(ADDR_COLS);
  address[ADDR_IP2] = V4_MAPPED;
  address[ADDR_IP3] = (a << 24) | (b << 16) | (c << 8) | d;
  address[ADDR_PORT] = port;
  return address;
}

export function newRxBatch(datagrams = TX_BATCH_DATAGRAMS, bytes = TX_BATCH_BYTES): RxBatch {
  return {
    buf: new Uint8Array(bytes),
    rows: new Int32Array(datagrams * RX_COLS),
    sources: new Int32Array(datagrams * ADDR_COLS),
    count: 0,
    sourceCount: 0,
    socket: 0,
  };
}

export function newTxBatch(datagrams = TX_BATCH_DATAGRAMS, bytes = TX_BATCH_BYTES): TxBatch {
  return {
    buf: new Uint8Array(bytes),
    rows: new Int32Array(datagrams * TX_COLS),
    dests: new Int32Array(datagrams * ADDR_COLS),
    count: 0,
    destCount: 0,
    used: 0,
    socket: 0,
  };
}

/** Of a datagram, what a receive batch has of it. */
export interface Arrived {
  bytes: Uint8Array;
  length: number;
  source: Int32Array;
  ecn: number;
}

/** Appends a datagram that arrived at `local`. False when the batch has no room; an empty batch always has. */
export function addToRx(rx: RxBatch, datagram: Arrived, local: Int32Array): boolean {
  const last = rx.count - 1;
  const off = last < 0 ? 0 : rx.rows[last * RX_COLS + RX_OFF] + rx.rows[last * RX_COLS + RX_LEN];
  if ((rx.count + 1) * RX_COLS > rx.rows.length || off + datagram.length > rx.buf.length) return false;
  rx.buf.set(datagram.bytes.subarray(0, datagram.length), off);
  let source = rx.sourceCount - 1;
  if (source < 0 || !sameAddress(rx.sources, source * ADDR_COLS, datagram.source, 0)) {
    source = rx.sourceCount++;
    const base = source * ADDR_COLS;
    rx.sources.fill(0, base, base + ADDR_COLS);
    for (let i = 0; i < ADDRESS_WORDS; i++) rx.sources[base + i] = datagram.source[i];
    for (let i = 0; i < IP_WORDS; i++) rx.sources[base + ADDR_LOCAL_IP0 + i] = local[ADDR_IP0 + i];
  }
  const row = rx.count++ * RX_COLS;
  rx.rows[row + RX_OFF] = off;
  rx.rows[row + RX_LEN] = datagram.length;
  rx.rows[row + RX_SOURCE] = source;
  rx.rows[row + RX_ECN] = datagram.ecn;
  return true;
}

/** What runs can share so that each need not allocate it: give one to many simulations, one after the other. */
export class SimScratch {
  readonly rx = newRxBatch();
  readonly tx = newTxBatch();
  readonly pool = new DatagramPool();
}
