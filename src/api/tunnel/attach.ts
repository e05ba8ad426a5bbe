/** Puts a QUIC connection to work for a service: at the end that accepts it carries, at the other one it is dialled for. */

import type { QuicSession } from "../quic/index.js";
import type { Carrier } from "./carrier.js";
import { dial } from "./far.js";
import { UdpFar } from "./far-udp.js";
import { TcpNear } from "./near.js";
import { UdpNear } from "./near-udp.js";
import type { SendBudget } from "./send-budget.js";
import type { Tell, TunnelService } from "./service.js";
import type { Traffic } from "./traffic.js";

/** One service at one end. */
export interface ServiceParts {
  service: TunnelService;
  /** This end listens for TCP and UDP; else it dials. */
  accepts: boolean;
  udpIdleMillis: number;
  carrier: Carrier;
  budget: SendBudget;
  traffic: Traffic;
}

/** What of a service is open here while there are QUIC connections or not: listening ports, at the end that accepts. */
export class ServicePorts {
  private constructor(
    private readonly parts: ServiceParts,
    private readonly tcp: TcpNear | null,
    private readonly udp: UdpNear | null,
  ) {}

  /** Rejects with the system's error when a port cannot be had. */
  static async open(parts: ServiceParts, tell: Tell): Promise<ServicePorts> {
    const { service, accepts, carrier, budget, traffic, udpIdleMillis } = parts;
    const { alpn } = service;
    if (!accepts) return new ServicePorts(parts, null, null);
    const tcp = service.tcp === null ? null : await TcpNear.open(service.tcp, carrier, budget, traffic);
    let udp: UdpNear | null = null;
    try {
      if (service.udp !== null) udp = await UdpNear.open(service.udp, carrier, traffic, udpIdleMillis);
    } catch (error) {
      tcp?.close();
      throw error;
    }
    if (tcp !== null) tell({ type: "accepting", alpn, protocol: "tcp", ...placeOf(tcp.address) });
    if (udp !== null) tell({ type: "accepting", alpn, protocol: "udp", ...placeOf(udp.address) });
    return new ServicePorts(parts, tcp, udp);
  }

  get alpn(): string {
    return this.parts.service.alpn;
  }

  /** Call it as soon as `session` is open, before its streams come. Returns what takes it out of work. */
  attach(session: QuicSession): () => void {
    const { accepts, budget } = this.parts;
    budget.add(session);
    const detach = accepts ? this.carryBy(session) : this.dialFor(session);
    return () => {
      budget.remove(session);
      detach();
    };
  }

  close(): void {
    this.tcp?.close();
    this.udp?.close();
    this.parts.traffic.destroyAll();
  }

  private carryBy(session: QuicSession): () => void {
    const { udp } = this;
    const { carrier, budget, traffic } = this.parts;
    session.onstream = (stream) => dial(stream, null, budget, traffic);
    if (udp !== null) session.ondatagram = (datagram) => udp.onDatagram(session, datagram);
    carrier.up(session);
    return () => carrier.down(session);
  }

  private dialFor(session: QuicSession): () => void {
    const { service, budget, traffic, udpIdleMillis } = this.parts;
    session.onstream = (stream) => dial(stream, service.tcp, budget, traffic);
    if (service.udp === null) return () => {};
    const far = new UdpFar(session, service.udp, traffic, udpIdleMillis);
    session.ondatagram = (datagram) => far.onDatagram(datagram);
    return () => far.close();
  }
}

function placeOf({ address, port }: { address: string; port: number }): { address: string; port: number } {
  return { address, port };
}
