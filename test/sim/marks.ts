/**
 * Marks: rare events of which a campaign has to show that it saw them. A row with a test is looked at on each connection
 * when its run is over; the names of `NOTED` are told by whoever sees the event. A campaign that is large enough fails
 * when one of them did not come about.
 */

import type { Connection } from "#src/conn/connection.js";
import type { Endpoint } from "#src/endpoint/endpoint.js";
import { MIN_INITIAL_DATAGRAM_BYTES } from "#src/proto/limits.js";
import type { TransportStats } from "#src/port/transport.js";
import { VERSION_2 } from "#src/proto/version.js";
import type { Simulation } from "#src/sim/index.js";
import type { Peer } from "./peer.js";

/** What a row looks at: one end of a connection. */
interface Seen {
  peer: Peer;
  stats: TransportStats;
  conn: Connection;
}

const OF_CONNECTIONS: Record<string, (seen: Seen) => boolean> = {
  "packets lost": ({ stats }) => stats.packetsLost > 0,
  "spurious loss": ({ stats }) => stats.spuriousLosses > 0,
  pto: ({ stats }) => stats.ptoCount > 0,
  "four ptos": ({ stats }) => stats.ptoCount >= 4,
  "persistent congestion": ({ stats }) => stats.persistentCongestions > 0,
  "reduction undone": ({ conn }) => conn.recovery.congestionUndone > 0,
  "window reduced": ({ stats }) => stats.congestionEvents > 0,
  "slow start left without a loss": ({ stats }) => stats.ssthreshBytes !== Infinity && stats.congestionEvents === 0,
  "CE reported": ({ stats }) => stats.ceReported > 0,
  "ECN capable": ({ stats }) => stats.ecn === "capable",
  "ECN failed": ({ stats }) => stats.ecn === "failed",
  "mtu probe lost": ({ stats }) => stats.mtuProbesLost > 0,
  "mtu raised": ({ stats }) => stats.maxDatagramBytes > MIN_INITIAL_DATAGRAM_BYTES,
  "black hole left": ({ stats }) => stats.mtuBlackHoles > 0,
  "path moved": ({ stats }) => stats.pathMoves > 0,
  "path validated": ({ stats }) => stats.pathsValidated > 0,
  "path did not answer": ({ stats }) => stats.pathsFailed > 0,
  "path left again": ({ stats }) => stats.pathReturns > 0,
  "move refused": ({ conn }) => conn.moves.refused > 0,
  "move deferred": ({ conn }) => conn.moves.deferred > 0,
  "id shared for want of a spare": ({ conn }) => conn.moves.shared > 0,
  "preferred address reached": ({ conn }) => conn.moves.own?.isOnPreferred === true,
  "preferred address is silent": ({ conn }) => conn.moves.own?.isOnPreferred === false && conn.moves.failed > 0,
  "key update": ({ stats }) => stats.keyUpdates > 0,
  "in the clear": ({ stats }) => stats.plaintext,
  "second key update": ({ stats }) => stats.keyUpdates > 1,
  "version 2": ({ conn }) => conn.versions.current === VERSION_2,
  "version changed": ({ conn }) => conn.versions.current !== conn.versions.original,
  "began again in another version": ({ conn }) => conn.versions.isSecond,
  "asked for fewer acks": ({ stats }) => stats.ackFrequencyReceived > 0,
  "asked for acks again": ({ stats }) => stats.ackFrequencyReceived > 1,
  "cwnd blocked": ({ stats }) => stats.cwndBlocked > 0,
  "flow blocked": ({ stats }) => stats.flowBlocked > 0,
  resumed: ({ peer }) => peer.handshake?.resumed === true,
  "0-RTT received": ({ stats }) => stats.earlyPacketsReceived > 0,
  "0-RTT refused": ({ peer: { handshake } }) => handshake?.earlyDataAttempted === true && !handshake.earlyDataAccepted,
  "datagram lost": ({ stats }) => stats.datagramsLost > 0,
  "closed before the handshake": ({ peer }) => peer.handshake === null,
  "close: application": ({ peer }) => peer.closed?.type === "application",
  "close: transport": ({ peer }) => peer.closed?.type === "transport",
  "close: idle-timeout": ({ peer }) => peer.closed?.type === "idle-timeout",
  "close: handshake-timeout": ({ peer }) => peer.closed?.type === "handshake-timeout",
  "close: stateless-reset": ({ peer }) => peer.closed?.type === "stateless-reset",
};

const OF_ENDPOINTS: Record<string, (endpoint: Endpoint) => boolean> = {
  "version negotiation sent": ({ counters }) => counters.versionNegotiationsSent > 0,
  "retry sent": ({ counters }) => counters.retriesSent > 0,
  "stateless reset sent": ({ counters }) => counters.statelessResetsSent > 0,
};

/** Told when they happen, or named by what was counted. */
const NOTED = [
  "another port",
  "address of before",
  "copies",
  "copies, and answers handed on",
  "another address",
  "host stalled",
  "system chose another address",
  "send refused",
  "key updated at its limit",
  "forged PTB",
  "forged PTB that quotes an id",
  "server restarted",
  "unreachable address",
  "wall clock set",
  "migrates",
  "migrates to nowhere",
  "migrates by force",
  "migration refused: no-connection-id",
  "connection id rotated",
  "datagram",
  "datagram fate 0",
  "datagram fate 1",
  "datagram fate 2",
  "reset received",
  "stop received",
  "stream limit reached",
  "stream limit raised",
  "three packets in a datagram",
  "ticket",
  "new token",
  "write blocked",
  "drop: bad-token",
  "drop: duplicate",
  "drop: fixed-bit",
  "drop: forged",
  "drop: keys-discarded",
  "drop: keys-unavailable",
  "drop: other-address",
  "drop: truncated",
  "drop: unexpected-type",
  "drop: unknown-cid",
  "drop: unknown-version",
  "drop: wrong-dcid",
  "network: blackout",
  "network: burst",
  "network: codel",
  "network: corrupt",
  "network: exact",
  "network: gone",
  "network: loss",
  "network: mtu",
  "network: nat",
  "network: policer",
  "network: queue",
  "network: unroutable",
];

/** All that a campaign has to see. */
export const MARKS: readonly string[] = [...Object.keys(OF_CONNECTIONS), ...Object.keys(OF_ENDPOINTS), ...NOTED];

/** Marks that fewer than `least` of the runs had. */
export function missingMarks(hits: ReadonlyMap<string, number>, least: number): string[] {
  return MARKS.filter((mark) => (hits.get(mark) ?? 0) < least);
}

/** Adds what is to be seen of a run that is over. */
export function collectMarks(
  marks: Set<string>,
  sim: Simulation,
  endpoints: readonly Endpoint[],
  peers: readonly Peer[],
): void {
  for (const [cause, count] of Object.entries(sim.dropped)) if (count > 0) marks.add(`network: ${cause}`);
  for (const endpoint of endpoints) {
    for (const reason of Object.keys(endpoint.counters.dropsByName())) marks.add(`drop: ${reason}`);
    for (const mark in OF_ENDPOINTS) if (OF_ENDPOINTS[mark](endpoint)) marks.add(mark);
  }
  for (const peer of peers) {
    const seen = { peer, stats: peer.conn.stats(), conn: peer.conn as Connection };
    for (const mark in OF_CONNECTIONS) if (OF_CONNECTIONS[mark](seen)) marks.add(mark);
  }
}
