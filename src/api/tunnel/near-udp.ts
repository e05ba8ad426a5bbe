/** The end of a tunnel that takes UDP datagrams: each sender's address is a flow, answers of the flow go back there. */

import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIP, type AddressInfo } from "node:net";
import { lookup } from "node:dns/promises";
import type { QuicSession } from "../quic/index.js";
import type { Carrier } from "./carrier.js";
import { FlowTable } from "./flows.js";
import { MAX_FLOWS } from "./limits.js";
import { flowOf, LAST_FLOW, payloadOf } from "./protocol.js";
import { sendFlow } from "./send-flow.js";
import type { Place } from "./service.js";
import type { Traffic } from "./traffic.js";

interface Sender {
  flow: number;
  address: string;
  port: number;
}

export class UdpNear {
  private readonly bySender = new Map<string, Sender>();
  private readonly flows: FlowTable<Sender>;
  private readonly timer: NodeJS.Timeout;
  private nextFlow = 0;

  private constructor(
    private readonly socket: Socket,
    private readonly carrier: Carrier,
    private readonly traffic: Traffic,
    idleMillis: number,
  ) {
    this.flows = new FlowTable(MAX_FLOWS, idleMillis, (_, sender) => {
      this.bySender.delete(keyOf(sender));
      traffic.flows--;
    });
    this.timer = setInterval(() => this.flows.expire(performance.now()), idleMillis / 4);
    socket.on("message", (payload, from) => this.onMessage(payload, from));
    socket.on("error", () => traffic.datagramsDropped++); // an answer that could not be sent
  }

  /** Rejects with the system's error when it cannot have that port. */
  static async open(place: Place, carrier: Carrier, traffic: Traffic, idleMillis: number): Promise<UdpNear> {
    const address = isIP(place.host) === 0 ? (await lookup(place.host)).address : place.host;
    const socket = createSocket(isIP(address) === 6 ? "udp6" : "udp4");
    socket.bind(place.port, address);
    await once(socket, "listening");
    return new UdpNear(socket, carrier, traffic, idleMillis);
  }

  get address(): AddressInfo {
    return this.socket.address();
  }

  /** A datagram of the tunnel. Only the connection that carries the service is listened to. */
  onDatagram(session: QuicSession, datagram: Uint8Array): void {
    const { traffic } = this;
    const sender = session === this.carrier.current ? this.flows.use(flowOf(datagram), performance.now()) : null;
    if (sender === null) {
      traffic.datagramsDropped++;
      return;
    }
    traffic.datagramsOut++;
    this.socket.send(payloadOf(datagram), sender.port, sender.address);
  }

  close(): void {
    clearInterval(this.timer);
    this.socket.close();
    this.flows.clear();
  }

  private onMessage(payload: Uint8Array, from: RemoteInfo): void {
    const session = this.carrier.current;
    if (session === null) this.traffic.datagramsDropped++;
    else sendFlow(session, this.flowFrom(from), payload, this.traffic);
  }

  private flowFrom(from: RemoteInfo): number {
    const nowMillis = performance.now();
    const known = this.bySender.get(keyOf(from));
    if (known !== undefined) {
      this.flows.use(known.flow, nowMillis);
      return known.flow;
    }
    const flow = this.nextFlow;
    this.nextFlow = flow === LAST_FLOW ? 0 : flow + 1;
    this.flows.drop(flow); // after a billion flows
    const sender = { flow, address: from.address, port: from.port };
    this.flows.add(flow, sender, nowMillis);
    this.bySender.set(keyOf(from), sender);
    this.traffic.flows++;
    return flow;
  }
}

function keyOf({ address, port }: { address: string; port: number }): string {
  return `${address} ${port}`;
}
