/**
 * The client of a tunnel for one service: keeps one QUIC connection to the server, makes another when it is gone, and lets
 * it follow this host's address.
 *
 *     connecting --opened--> up --moves, stalls--> up
 *         ^                   |
 *         +---- pause <-------+ closed, or replaced by one that a restarted server has answered
 */

import { setTimeout as sleep } from "node:timers/promises";
import { connect, type QuicSession } from "../quic/index.js";
import type { CertificateInput } from "../pem.js";
import { ServicePorts } from "./attach.js";
import { Carrier } from "./carrier.js";
import { BACKOFF_FIRST_MILLIS, BACKOFF_MOST_MILLIS, TUNNEL_KEEP_ALIVE_MILLIS } from "./limits.js";
import { kernelSource, PathWatch, type SourceOf } from "./path-watch.js";
import { TUNNEL_REPLACED, wireName } from "./protocol.js";
import { textOf } from "./server.js";
import { SendBudget } from "./send-budget.js";
import type { Identity, Tell, TunnelService } from "./service.js";
import { tunnelOptions } from "./session-options.js";
import { Traffic } from "./traffic.js";

export interface TunnelClientConfig {
  /** The server: `HOST:PORT`. */
  server: string;
  service: TunnelService;
  /** Authorities that the server's certificate is checked against; null: those of Node. */
  ca: CertificateInput | null;
  /** In place of them: the SHA-256 of the one certificate that is accepted, hex. */
  pin: string | null;
  /** The name that the certificate must have; null: the host. */
  serverName: string | null;
  /** For servers that ask for one. */
  identity: Identity | null;
  udpIdleMillis: number;
  /** For tests: which address of this host leads to the server. */
  sourceOf?: SourceOf;
}

export class TunnelClient {
  readonly traffic = new Traffic();
  private readonly carrier = new Carrier();
  private watch: PathWatch | null = null;
  /** Made beside one that is silent. */
  private replacement: QuicSession | null = null;
  private isReplacing = false;

  constructor(
    private readonly config: TunnelClientConfig,
    private readonly tell: Tell,
  ) {}

  get alpn(): string {
    return this.config.service.alpn;
  }

  /** Runs until `signal` aborts. Rejects when it cannot listen, or when the server refuses it at the first attempt. */
  async run(signal: AbortSignal): Promise<void> {
    const { service, udpIdleMillis } = this.config;
    const { carrier, traffic } = this;
    const budget = new SendBudget();
    const parts = { service, accepts: !service.reverse, udpIdleMillis, carrier, budget, traffic };
    const ports = await ServicePorts.open(parts, this.tell);
    try {
      await this.keepConnected(ports, signal);
    } finally {
      this.replacement?.destroy();
      ports.close();
    }
  }

  /** Moves the connection to a fresh socket, as a change of address would. */
  async rebind(): Promise<void> {
    await this.watch?.move(false);
  }

  private async keepConnected(ports: ServicePorts, signal: AbortSignal): Promise<void> {
    let pauseMillis = BACKOFF_FIRST_MILLIS;
    let wasUp = false;
    while (!signal.aborted) {
      let error: unknown = null;
      try {
        const session = this.replacement ?? (await this.connect(signal));
        this.replacement = null;
        wasUp = true;
        pauseMillis = BACKOFF_FIRST_MILLIS;
        await this.use(session, ports, signal);
      } catch (reason) {
        error = reason;
      }
      if (signal.aborted) return;
      if (!wasUp && isForGood(error)) throw error;
      const retryMillis = this.replacement === null ? Math.round(pauseMillis * (0.75 + Math.random() / 2)) : 0;
      this.tell({ type: "down", alpn: this.alpn, peer: this.config.server, error, retryMillis });
      // a replacement is put to work in this turn: its server may have opened streams already
      if (this.replacement === null) await sleep(retryMillis, undefined, { signal }).catch(() => {});
      pauseMillis = Math.min(2 * pauseMillis, BACKOFF_MOST_MILLIS);
    }
  }

  /** Rejects when the handshake fails. */
  private async connect(signal: AbortSignal): Promise<QuicSession> {
    const { server, service, ca, pin, serverName, identity } = this.config;
    const options = tunnelOptions(service.reverse);
    const pins = pin === null ? {} : { serverCertificateHashes: [{ value: pin }] };
    const session = await connect(server, {
      ...options,
      alpn: wireName(service.alpn, service.reverse),
      reuseEndpoint: false,
      keepAlive: TUNNEL_KEEP_ALIVE_MILLIS,
      signal,
      ext: { ...options.ext, ...pins },
      ...(ca === null ? {} : { ca }),
      ...(serverName === null ? {} : { servername: serverName }),
      ...identity,
    });
    session.onerror = () => {}; // `opened` and `closed` say it
    await session.opened;
    return session;
  }

  /** Until it is closed; rejects with why. */
  private async use(session: QuicSession, ports: ServicePorts, signal: AbortSignal): Promise<void> {
    const { tell, alpn } = this;
    const end = (): void => session.destroy(undefined, { type: "application", reason: "the tunnel ends" });
    signal.addEventListener("abort", end, { once: true });
    const detach = ports.attach(session);
    const events = {
      onMoved: ({ local, remote }: { local: Named; remote: Named }) =>
        tell({ type: "moved", alpn, local: textOf(local), remote: textOf(remote) }),
      onStuck: (error: unknown) => tell({ type: "stuck", alpn, error }),
      onUnanswered: () => void this.tryAnother(session, signal),
    };
    this.watch = new PathWatch(session, events, this.config.sourceOf ?? kernelSource);
    tell({ type: "up", alpn, peer: this.config.server });
    try {
      if (signal.aborted) end();
      await session.closed;
    } finally {
      this.watch.stop();
      detach();
      signal.removeEventListener("abort", end);
    }
  }

  /** The server does not answer: one that was started anew knows this connection no longer, but takes a new one. */
  private async tryAnother(session: QuicSession, signal: AbortSignal): Promise<void> {
    if (this.isReplacing) return;
    this.isReplacing = true;
    const { bytesReceived } = session.ext.stats();
    try {
      const other = await this.connect(signal);
      if (session.destroyed || session.ext.stats().bytesReceived !== bytesReceived) {
        other.destroy(undefined, { type: "application", reason: "not needed" });
        return;
      }
      this.replacement = other;
      const reason = "the server answered a new connection only";
      session.destroy(new Error(reason), { type: "application", code: TUNNEL_REPLACED, reason });
    } catch {
      // it does not answer that, either
    } finally {
      this.isReplacing = false;
    }
  }
}

type Named = { address: string; port: number };

/** No later attempt would end otherwise: certificates, names, options. */
function isForGood(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  if (typeof code !== "string") return true;
  return code === "ERR_QUIC_HANDSHAKE" || code === "ENOTFOUND" || /^ERR_(INVALID|NETQUIC)_/.test(code);
}
