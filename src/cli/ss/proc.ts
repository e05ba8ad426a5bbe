/**
 * The tables of Linux QUIC in procfs over all programs: `/proc/net/quic/conns`, `eps` and `snmp`, tab-separated, with the names
 * and the order of the original. As there, a connection that was closed is in none of them; SOCK, a pointer there, is the
 * number of the socket in hexadecimal.
 */

import { addCounters, noCounters, OFFLOAD_NAMES, SNMP_NAMES } from "../../api/control/counters.js";
import type { Program } from "../../api/control/client.js";
import { type StateName, STATES } from "../../api/control/rows.js";
import { oneLine } from "../failure.js";
import { socketHex } from "./details.js";
import { listSockets } from "./listed.js";
import type { TableName } from "./options.js";

const CONNS = [
  "SOCK",
  "STATE",
  "LOCAL_ADDRESS",
  "REMOTE_ADDRESS",
  "UDP_ADDRESS",
  "WINDOW",
  "MSS",
  "IN_FLIGHT",
  "TX_QUEUE",
  "RX_QUEUE",
  "SNDBUF",
  "RCVBUF",
  "UID",
  "INODE",
];
const EPS = ["SOCK", "STATE", "LOCAL_ADDRESS", "UDP_ADDRESS", "UID", "INODE"];
/** The states that Linux QUIC has a connection in. */
const CONN_STATES: readonly string[] = ["ESTAB", "SYN-RECV"];

export function* procLines(table: TableName, programs: readonly Program[]): Generator<string> {
  if (table === "snmp") yield* snmpLines(programs);
  else if (table === "eps") yield* epsLines(programs);
  else yield* connsLines(programs);
}

function* connsLines(programs: readonly Program[]): Generator<string> {
  yield CONNS.join("\t");
  for (const { row } of listSockets(programs)) {
    if (!CONN_STATES.includes(row.state)) continue;
    yield [
      socketHex(row.inode),
      STATES[row.state],
      oneLine(row.local),
      oneLine(row.remote),
      oneLine(row.udp),
      row.cwndBytes,
      row.mssBytes,
      row.inFlightBytes,
      row.sendQueueBytes,
      row.recvQueueBytes,
      row.sendBufferBytes,
      row.recvBufferBytes,
      row.uid,
      row.inode,
    ].join("\t");
  }
}

function* epsLines(programs: readonly Program[]): Generator<string> {
  yield EPS.join("\t");
  for (const { row } of listSockets(programs)) {
    if (row.state !== ("LISTEN" satisfies StateName)) continue;
    yield [socketHex(row.inode), STATES.LISTEN, oneLine(row.local), oneLine(row.udp), row.uid, row.inode].join("\t");
  }
}

/** Those of procfs, then those of the Tx offload, which has a file of its own there. */
function* snmpLines(programs: readonly Program[]): Generator<string> {
  const sum = noCounters();
  for (const { counters } of programs) addCounters(sum, counters);
  for (const name of [...SNMP_NAMES, ...OFFLOAD_NAMES]) yield `${name}\t${sum[name]}`;
}
