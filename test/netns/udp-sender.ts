/** A native UDP socket in a namespace: sends one batch and tells what it was told meanwhile. */

import { setTimeout as sleep } from "node:timers/promises";
import { ADDR_COLS, ADDR_PORT, RX_COLS, TX_COLS, TX_FLAG_PROBE, type UdpOffload } from "#src/port/udp.js";
import { setAddressRow, wordsToAddress } from "#src/runtime/address.js";
import { nativeUdp } from "#src/runtime/native/udp.js";

export interface UdpOrder {
  bind: string;
  to: string;
  port: number;
  /** Lengths of the datagrams; the first byte of each is its index. */
  sizes: number[];
  probes?: boolean;
  offload?: UdpOffload;
  /** From when all has left or failed to the report. */
  waitMillis: number;
}

export interface UdpReport {
  icmp: { address: string; port: number; kind: number; mtuBytes: number }[];
  tooBig: number[];
  sendErrors: number;
  sendBlocked: number;
  datagramsSent: number;
}

const LIMIT_MILLIS = 20_000;

const send = process.send?.bind(process) as (message: object) => boolean;

process.on("message", async (order: UdpOrder) => {
  const report: UdpReport = { icmp: [], tooBig: [], sendErrors: 0, sendBlocked: 0, datagramsSent: 0 };
  const rx = {
    buf: new Uint8Array(70_000),
    rows: new Int32Array(RX_COLS * 128),
    sources: new Int32Array(ADDR_COLS),
    count: 0,
    sourceCount: 0,
    socket: 0,
  };
  const options = { address: order.bind, port: 0, offload: order.offload ?? {} };
  const socket = await nativeUdp.open(options, {
    onReadable: () => void socket.recv(rx),
    onWritable: () => {},
    onError: (error) => {
      throw error;
    },
    onTooBig: (_dest, bytes) => report.tooBig.push(bytes),
    onIcmp: (dest, kind, mtuBytes) =>
      report.icmp.push({ address: wordsToAddress(dest, 0), port: dest[ADDR_PORT] ?? 0, kind, mtuBytes }),
  });
  const { sizes } = order;
  const dests = new Int32Array(ADDR_COLS);
  setAddressRow(dests, 0, order.to, order.port);
  const used = sizes.reduce((sum, size) => sum + size, 0);
  const buf = new Uint8Array(used);
  const rows = new Int32Array(sizes.length * TX_COLS);
  let off = 0;
  for (const [i, size] of sizes.entries()) {
    buf[off] = i;
    rows.set([off, size, 0, 0, order.probes === true ? TX_FLAG_PROBE : 0], i * TX_COLS);
    off += size;
  }
  socket.send({ buf, rows, dests, count: sizes.length, destCount: 1, used, socket: 0 });
  const over = (): boolean =>
    socket.stats.datagramsSent + socket.stats.sendErrors + report.tooBig.length >= sizes.length;
  for (const end = performance.now() + LIMIT_MILLIS; !over() && performance.now() < end; ) await sleep(5);
  await sleep(order.waitMillis);
  const { sendErrors, sendBlocked, datagramsSent } = socket.stats;
  socket.close();
  send({ ...report, sendErrors, sendBlocked, datagramsSent });
});
