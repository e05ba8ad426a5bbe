/** QuicEndpoint of `node:quic`: what users hold of one UDP socket. Everything happens in its core. */

import type { SocketAddress } from "node:net";
import { invalidType } from "../errors.js";
import type { DevCertificate } from "../dev-certificate.js";
import { EndpointCore } from "./endpoint-core.js";
import { type EndpointOptions, MAX_CONNECTIONS, readEndpointOptions } from "./endpoint-options.js";
import { faces } from "./faces.js";
import { OptionReader } from "../option-reader.js";
import type { SniContexts } from "./public-options.js";
import { readSni } from "./session-options.js";
import { type EndpointStats, endpointStats } from "./stats.js";

/** Lets modules beside this one look inside. */
export let coreOf: (endpoint: QuicEndpoint) => EndpointCore;

export class QuicEndpoint {
  readonly #core: EndpointCore;
  /** What node:quic does not have. */
  readonly ext: QuicEndpointExt;

  static {
    coreOf = (endpoint) => endpoint.#core;
  }

  /** The socket is bound at the first `connect` or `listen`. @throws for options that are wrong or unknown. */
  constructor(options?: EndpointOptions) {
    this.#core = handedOver ?? new EndpointCore(readEndpointOptions(options, "options"), this);
    this.ext = new QuicEndpointExt(this.#core);
  }

  /** Undefined until it is bound. */
  get address(): SocketAddress | undefined {
    return this.#core.isBound ? this.#core.address : undefined;
  }

  /** While true, new clients are refused. */
  get busy(): boolean {
    return this.#core.busy;
  }
  set busy(value: boolean) {
    if (typeof value !== "boolean") throw invalidType("busy", "a boolean", value);
    this.#core.busy = value;
  }

  /** 0 = unlimited. */
  get maxConnectionsTotal(): number {
    return this.#core.maxConnectionsTotal;
  }
  set maxConnectionsTotal(value: number) {
    this.#core.maxConnectionsTotal = checkedLimit("maxConnectionsTotal", value);
  }

  get maxConnectionsPerHost(): number {
    return this.#core.maxConnectionsPerHost;
  }
  set maxConnectionsPerHost(value: number) {
    this.#core.maxConnectionsPerHost = checkedLimit("maxConnectionsPerHost", value);
  }

  /** Fulfilled when the socket is given back; rejects when an error ended it. */
  get closed(): Promise<void> {
    return this.#core.closed.promise;
  }

  get closing(): boolean {
    return this.#core.closing && !this.#core.destroyed;
  }

  get destroyed(): boolean {
    return this.#core.destroyed;
  }

  get listening(): boolean {
    return this.#core.listening;
  }

  get stats(): EndpointStats {
    return endpointStats(this.#core);
  }

  /**
   * Other certificates for new sessions: these and the ones before, or with `replace` these alone. Sessions that exist, and
   * their tickets, are good as before. @throws `ERR_INVALID_STATE` when the endpoint does not listen.
   */
  setSNIContexts(entries: SniContexts, options?: { replace?: boolean }): void {
    const reader = new OptionReader(options, "options");
    const replaces = reader.boolean("replace") ?? false;
    reader.finish();
    this.#core.setIdentities(readSni(entries, "entries"), replaces);
  }

  /** Refuses new sessions, waits until those that are open have ended, then frees the socket. Returns `closed`. */
  close(): Promise<void> {
    return this.#core.close();
  }

  /** Ends every session at once and frees the socket. */
  destroy(error?: unknown): void {
    this.#core.destroy(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** `endpoint.ext`: what is ours. */
export class QuicEndpointExt {
  readonly #core: EndpointCore;

  constructor(core: EndpointCore) {
    this.#core = core;
  }

  /** The certificate that `ext: {devCertificate}` of `listen` made; null without it. */
  get devCertificate(): DevCertificate | null {
    return this.#core.devCertificate;
  }

  /** `native` or `portable`, and how the socket sends and receives: `gso+gro`, `dgram`. */
  get rungs(): { datapath: string; udp: string } {
    return this.#core.rungs;
  }

  /** Datagrams and packets that were dropped, by reason. */
  get drops(): Record<string, number> {
    return this.#core.host?.endpoint.counters.dropsByName() ?? {};
  }
}

/** The core of the face that is being made for `connect` or `listen`. */
let handedOver: EndpointCore | null = null;

faces.endpoint = (core) => {
  handedOver = core;
  try {
    return new QuicEndpoint();
  } finally {
    handedOver = null;
  }
};

function checkedLimit(name: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > MAX_CONNECTIONS) {
    throw invalidType(name, `an integer from 0 to ${MAX_CONNECTIONS}`, value);
  }
  return value;
}
