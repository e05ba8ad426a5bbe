/** The end of a tunnel that sends datagrams on: each flow of the peer is a UDP socket, connected to the one target. */

import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { QuicSession } from "../quic/index.js";
import { FlowTable } from "./flows.js";
import { MAX_FLOW_EARLY_DATAGRAMS, MAX_FLOWS } from "./limits.js";
import { flowOf, payloadOf } from "./protocol.js";
import { sendFlow } from "./send-flow.js";
import type { Place } from "./service.js";
import type { Traffic } from "./traffic.js";

/** The flows of one QUIC connection. */
export class UdpFar {
  private readonly flows: FlowTable<FarFlow>;
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly session: QuicSession,
    private readonly target: Place,
    private readonly traffic: Traffic,
    idleMillis: number,
  ) {
    this.flows = new FlowTable(MAX_FLOWS, idleMillis, (_, flow) => {
      flow.close();
      traffic.flows--;
    });
    this.timer = setInterval(() => this.flows.expire(performance.now()), idleMillis / 4);
  }

  onDatagram(datagram: Uint8Array): void {
    const number = flowOf(datagram);
    if (number < 0) {
      this.traffic.datagramsDropped++;
      return;
    }
    const flow = this.flows.use(number, performance.now()) ?? this.open(number);
    flow.send(payloadOf(datagram));
  }

  close(): void {
    clearInterval(this.timer);
    this.flows.clear();
  }

  private open(number: number): FarFlow {
    const { session, traffic } = this;
    const onAnswer = (payload: Uint8Array): void => {
      this.flows.use(number, performance.now());
      sendFlow(session, number, payload, traffic);
    };
    // its next datagram begins anew
    const flow = new FarFlow(this.target, traffic, onAnswer, () => this.flows.drop(number));
    this.flows.add(number, flow, performance.now());
    traffic.flows++;
    return flow;
  }
}

class FarFlow {
  private socket: Socket | null = null;
  private isConnected = false;
  private isClosed = false;
  private readonly early: Uint8Array[] = [];

  constructor(
    target: Place,
    private readonly traffic: Traffic,
    private readonly onAnswer: (payload: Uint8Array) => void,
    /** There is no way to the target now. */
    private readonly onFailed: () => void,
  ) {
    this.connect(target).catch(() => this.fail());
  }

  send(payload: Uint8Array): void {
    const { socket, traffic, early } = this;
    if (this.isConnected && socket !== null) {
      traffic.datagramsOut++;
      socket.send(payload);
    } else if (early.length < MAX_FLOW_EARLY_DATAGRAMS) early.push(payload);
    else traffic.datagramsDropped++;
  }

  close(): void {
    this.isClosed = true;
    this.socket?.close();
    this.socket = null;
  }

  private async connect({ host, port }: Place): Promise<void> {
    const address = isIP(host) === 0 ? (await lookup(host)).address : host;
    if (this.isClosed) return;
    const socket = createSocket(isIP(address) === 6 ? "udp6" : "udp4");
    this.socket = socket;
    socket.on("error", () => {
      if (!this.isConnected) this.fail();
      else this.traffic.datagramsDropped++; // nobody is there: ICMP says so, the next may be
    });
    socket.on("message", (payload) => this.onAnswer(payload));
    // the typings leave out that it is told what failed
    const done = (error?: Error): void => (error === undefined ? this.begin() : this.fail());
    socket.connect(port, address, done as () => void);
  }

  private begin(): void {
    this.isConnected = true;
    for (const payload of this.early.splice(0)) this.send(payload);
  }

  private fail(): void {
    if (this.isClosed) return;
    this.traffic.datagramsDropped += this.early.splice(0).length;
    this.onFailed();
  }
}
