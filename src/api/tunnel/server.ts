/** The server of a tunnel: one UDP port for all of its services, which clients choose by ALPN. */

import { addressText } from "../../runtime/address.js";
import { listen, type QuicEndpoint, type QuicSession } from "../quic/index.js";
import type { CertificateInput } from "../pem.js";
import { type ServiceParts, ServicePorts } from "./attach.js";
import { Carrier } from "./carrier.js";
import { MAX_TUNNEL_CLIENTS } from "./limits.js";
import { wireName } from "./protocol.js";
import { SendBudget } from "./send-budget.js";
import type { Identity, Tell, TunnelService } from "./service.js";
import { tunnelOptions } from "./session-options.js";
import { Traffic } from "./traffic.js";

export interface TunnelServerConfig {
  /** Where to listen for QUIC: `ADDRESS:PORT`, literal. */
  address: string;
  /** Names differ. */
  services: readonly TunnelService[];
  /** Null: a certificate made for this run. */
  identity: Identity | null;
  /** Clients show a certificate of this authority; null: anybody is a client. */
  clientCa: CertificateInput | null;
  udpIdleMillis: number;
}

export class TunnelServer {
  /** By the name on the wire. */
  private readonly parts = new Map<string, ServiceParts>();
  private readonly ports = new Map<string, ServicePorts>();
  private readonly sessions = new Set<QuicSession>();

  constructor(
    private readonly config: TunnelServerConfig,
    private readonly tell: Tell,
  ) {
    const budget = new SendBudget();
    for (const service of config.services) {
      const { alpn, reverse } = service;
      const { udpIdleMillis } = config;
      const own = { carrier: new Carrier(), traffic: new Traffic() };
      const parts = { service, accepts: reverse, udpIdleMillis, budget, ...own };
      this.parts.set(wireName(alpn, reverse), parts);
    }
  }

  /** What each service has carried, by name. */
  *traffic(): Generator<[alpn: string, traffic: Traffic]> {
    for (const { service, traffic } of this.parts.values()) yield [service.alpn, traffic];
  }

  /** Serves until `signal` aborts. Rejects when it cannot listen, for QUIC or for a service. */
  async run(signal: AbortSignal): Promise<void> {
    let endpoint: QuicEndpoint | null = null;
    try {
      for (const [name, parts] of this.parts) this.ports.set(name, await ServicePorts.open(parts, this.tell));
      endpoint = await this.listen();
      const { address, port } = endpoint.address as { address: string; port: number };
      this.tell({ type: "serving", address, port, pin: endpoint.ext.devCertificate?.fingerprint256 ?? null });
      await Promise.race([aborted(signal), endpoint.closed]);
    } finally {
      for (const ports of this.ports.values()) ports.close();
      for (const session of this.sessions)
        session.destroy(undefined, { type: "application", reason: "the tunnel ends" });
      await endpoint?.close().catch(() => {});
    }
  }

  private listen(): Promise<QuicEndpoint> {
    const { address, identity, clientCa } = this.config;
    const options = tunnelOptions(true);
    return listen((session) => this.serve(session), {
      ...options,
      alpn: [...this.parts.keys()],
      endpoint: { address, maxConnectionsTotal: MAX_TUNNEL_CLIENTS },
      ...(identity === null ? { ext: { ...options.ext, devCertificate: true } } : { sni: { "*": identity } }),
      ...(clientCa === null ? {} : { verifyClient: true, ca: clientCa }),
    });
  }

  private async serve(session: QuicSession): Promise<void> {
    session.onerror = () => {}; // `closed` says it
    this.sessions.add(session);
    try {
      const { protocol, remote } = await session.opened;
      const ports = this.ports.get(protocol);
      if (ports !== undefined) await this.work(session, ports, addressText(remote.address, remote.port));
    } catch {
      // a handshake that failed: nobody was there
    } finally {
      this.sessions.delete(session);
    }
  }

  private async work(session: QuicSession, ports: ServicePorts, peer: string): Promise<void> {
    const { alpn } = ports;
    const detach = ports.attach(session);
    session.onpathvalidation = (result, local, remote) => {
      if (result === "success") this.tell({ type: "moved", alpn, local: textOf(local), remote: textOf(remote) });
    };
    this.tell({ type: "up", alpn, peer });
    const error = await session.closed.then(
      () => null,
      (reason: unknown) => reason,
    );
    detach();
    this.tell({ type: "down", alpn, peer, error, retryMillis: null });
  }
}

export function textOf({ address, port }: { address: string; port: number }): string {
  return addressText(address, port);
}

export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
