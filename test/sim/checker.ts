/**
 * The invariants of docs/simulation.md that can be seen from outside: on the wire, in the counters of connections and
 * endpoints. Each violation throws at the event that shows it. (I3, nonces, is held by the AEAD itself; I7 by the host;
 * I13 by the programs.)
 */

import { AMPLIFICATION_FACTOR, DEFAULT_DATAGRAM_BYTES, MIN_INITIAL_DATAGRAM_BYTES } from "#src/proto/limits.js";
import { SPACE_APP } from "#src/proto/space.js";
import type { Connection } from "#src/conn/connection.js";
import type { Datagram, Host, WireTap } from "#src/sim/index.js";
import { mayMove } from "./dimensions.js";
import { PathChecker } from "./path-checker.js";
import type { Peer } from "./peer.js";
import type { Program } from "./program.js";
import type { Scenario } from "./scenario.js";
import { isEliciting, readPackets, WIRE_HANDSHAKE, WIRE_INITIAL, WIRE_RETRY } from "./wire.js";

interface FlightState {
  bytesInFlight: number;
  ptoCount: number;
  /** Probes were left to be sent. */
  owesProbes: boolean;
}

export class Checker implements WireTap {
  private readonly flights = new Map<Peer, FlightState>();
  /** I1, for runs of one connection: what the server got from and sent to an address that is not proven yet. */
  private serverReceivedBytes = 0;
  private serverSentBytes = 0;
  private addressProven = false;
  /** I5: datagrams of the client when it entered draining, and one farewell. */
  private drainingAt = -1;

  private rerouted = 0;

  private readonly inOrder: boolean;
  private readonly paths: PathChecker | null;

  /** `readable`: packets on the wire are unprotected and can be looked into. */
  constructor(
    private readonly scenario: Scenario,
    private readonly readable: boolean,
    private readonly marks: Set<string>,
  ) {
    const { on, forward, backward } = scenario;
    this.paths = mayMove(on) ? new PathChecker() : null;
    this.inOrder = !on.reorder && !on.duplicate && !on.copies && forward.delay.fifo && backward.delay.fifo;
  }

  onSent(host: Host, datagram: Datagram, nowMicros: number): void {
    const isServer = host.name === "server";
    const config = isServer ? this.scenario.serverConfig : this.scenario.clientConfig;
    const most = config.maxDatagramBytes ?? DEFAULT_DATAGRAM_BYTES;
    if (datagram.length > most) {
      throw new Error(`I10: ${host.name} sent ${datagram.length} bytes at ${nowMicros}, at most ${most} are allowed`);
    }
    if (isServer) {
      this.checkAmplification(datagram);
      this.paths?.onSent(datagram, host.app as Program);
    } else {
      if (host.rerouted !== this.rerouted) this.paths?.onRerouted();
      this.rerouted = host.rerouted;
      this.paths?.onClientSent(datagram, host.app as Program);
    }
    if (this.readable) this.checkPackets(host, datagram, isServer);
  }

  onDelivered(host: Host, datagram: Datagram): void {
    if (host.name !== "server") return;
    this.serverReceivedBytes += datagram.length;
    this.paths?.onDelivered(datagram);
    if (!this.readable) return;
    for (const packet of readPackets(datagram.bytes, datagram.length)) {
      // A token proves the address (RFC 9000 §8.1.2), and so does anything under Handshake keys (§8.1).
      if (packet.type === WIRE_HANDSHAKE || packet.tokenBytes > 0) this.addressProven = true;
    }
  }

  onDropped(): void {}

  afterTransmit(host: Host): void {
    const program = host.app as Program;
    for (const peer of program.peers) {
      if (peer.closed === null) this.checkFlight(peer);
    }
    if (host.name === "client" && this.scenario.connections === 1) this.checkDraining(host, program);
  }

  /** E4: what the endpoint counted is what the network saw. */
  checkTotals(host: Host, program: Program): void {
    const { counters } = program.endpoint;
    same(`E4: ${host.name} datagrams sent`, counters.datagramsSent, host.datagramsSent);
    same(`E4: ${host.name} bytes sent`, counters.bytesSent, host.bytesSent);
    same(`E4: ${host.name} datagrams received`, counters.datagramsReceived, host.datagramsReceived);
    same(`E4: ${host.name} bytes received`, counters.bytesReceived, host.bytesReceived);
    let sent = 0;
    for (const peer of program.peers) {
      const stats = peer.conn.stats();
      sent += stats.bytesSent;
      if (this.inOrder) same(`E6: ${peer.name} spurious losses on a path that keeps order`, stats.spuriousLosses, 0);
    }
    const stateless = counters.statelessResetsSent + counters.retriesSent + counters.versionNegotiationsSent;
    if (host.name === "client" && stateless === 0) same(`E4: ${host.name} connections' bytes`, sent, host.bytesSent);
  }

  private checkAmplification(datagram: Datagram): void {
    this.serverSentBytes += datagram.length;
    if (!this.readable || this.addressProven || this.scenario.connections !== 1) return;
    if (this.serverSentBytes <= AMPLIFICATION_FACTOR * this.serverReceivedBytes) return;
    throw new Error(`I1: the server sent ${this.serverSentBytes} bytes for ${this.serverReceivedBytes} received`);
  }

  private checkPackets(host: Host, datagram: Datagram, isServer: boolean): void {
    const packets = readPackets(datagram.bytes, datagram.length);
    for (const packet of packets) {
      if (packet.type === WIRE_RETRY && !isServer) throw new Error("a client sent Retry");
      if (packet.type !== WIRE_INITIAL || datagram.length >= MIN_INITIAL_DATAGRAM_BYTES) continue;
      // RFC 9000 §14.1: every Initial of a client, and ack-eliciting ones of a server.
      if (!isServer || isEliciting(datagram.bytes, packet.payloadStart, packet.payloadEnd)) {
        throw new Error(`I10: ${host.name} sent an Initial in ${datagram.length} bytes`);
      }
    }
    if (packets.length >= 3) this.marks.add("three packets in a datagram");
  }

  /**
   * I2: nothing but probes goes beyond the congestion window (RFC 9002 §7). Looked at once the handshake is confirmed:
   * before, the padding of acknowledgements counts as in flight, but must leave all the same.
   */
  private checkFlight(peer: Peer): void {
    if (!peer.confirmed) return;
    // Read from the parts: stats() makes an object, and this runs after every transmit.
    const { recovery } = peer.conn as Connection;
    const { bytesInFlight, ptoCountTotal: ptoCount } = recovery;
    const { cwndBytes } = recovery.cc;
    // probes that the limit of an address that is not validated holds back are owed until it lets them go
    const owesProbes = recovery.probes(SPACE_APP) > 0;
    const before = this.flights.get(peer);
    if (before === undefined) {
      this.flights.set(peer, { bytesInFlight, ptoCount, owesProbes });
      return;
    }
    const grew = bytesInFlight > before.bytesInFlight;
    if (grew && bytesInFlight > cwndBytes && ptoCount === before.ptoCount && !before.owesProbes) {
      throw new Error(`I2: ${peer.name} has ${bytesInFlight} bytes in flight, the window is ${cwndBytes}`);
    }
    before.bytesInFlight = bytesInFlight;
    before.owesProbes = owesProbes;
    if (bytesInFlight <= cwndBytes) before.ptoCount = ptoCount;
  }

  /** I5: one farewell at most after the peer's close arrived (RFC 9000 §10.2.2). */
  private checkDraining(host: Host, program: Program): void {
    const closed = program.peers[0]?.closed ?? null;
    if (closed === null || !closed.remote) return;
    const sent = host.datagramsSent - program.endpoint.counters.statelessResetsSent;
    if (this.drainingAt < 0) this.drainingAt = sent;
    if (sent > this.drainingAt + 1) throw new Error("I5: the client sent more than a farewell while draining");
  }
}

function same(what: string, counted: number, seen: number): void {
  if (counted !== seen) throw new Error(`${what}: counted ${counted}, seen ${seen}`);
}
