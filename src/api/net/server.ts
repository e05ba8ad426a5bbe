/**
 * A server of sockets, as node:net has it: it emits `connection` for each stream that a client opens, `session` for each
 * QUIC connection. After `close` it takes no more of either, and emits `close` when the last socket is gone and the UDP
 * port is free.
 */

import { EventEmitter } from "node:events";
import type { AddressInfo } from "node:net";
import { resolveHost } from "../address.js";
import { watchAbort } from "../deferred.js";
import { tlsAt, wantsKeylogFile } from "../environment.js";
import { invalidState } from "../errors.js";
import type { Channel } from "./channel.js";
import type { Hold } from "./hold.js";
import type { Link } from "./link.js";
import { type ListenArguments, type ListenOptions, normalizeListen } from "./listen-arguments.js";
import { readServerOptions, type ServerOptions, type ServerSetup } from "./options.js";
import { Port } from "./port.js";
import { type NetSession, sessionOf } from "./session.js";
import type { QuicSocket } from "./socket.js";
import { sockets } from "./sockets.js";

/** Events: `listening`, `session` (session), `connection` (socket), `drop` (addresses), `tlsClientError`, `close`, `error`. */
export class QuicServer extends EventEmitter {
  listening = false;
  /** Sockets at once; more are refused, and told by `drop`. */
  maxConnections: number | undefined;
  readonly #options: ServerOptions;
  readonly #setup: ServerSetup;
  readonly #sockets = new Set<QuicSocket>();
  #port: Port | null = null;
  #hold: Hold | null = null;
  #isRefed = true;
  #isStarting = false;
  #isClosing = false;
  /** The signal of `listen` may live longer than the server. */
  #unwatch = (): void => {};

  /** @throws for options that are wrong: a server needs a certificate. */
  constructor(options: ServerOptions, onConnection?: (socket: QuicSocket) => void) {
    super();
    this.#options = options;
    this.#setup = readServerOptions(options);
    if (onConnection !== undefined) this.on("connection", onConnection);
  }

  /**
   * `(port, host, backlog, onListening)` or `(options, onListening)`, as net.Server; without a host on all addresses. What
   * goes wrong comes as `error`. @throws when it listens already
   */
  listen(...args: ListenArguments): this {
    const { options, onListening } = normalizeListen(args);
    if (this.listening || this.#isStarting) {
      throw Object.assign(invalidState("the server listens already"), { code: "ERR_SERVER_ALREADY_LISTEN" });
    }
    if (onListening !== undefined) this.once("listening", onListening);
    this.#isStarting = true;
    this.#isClosing = false;
    const { signal } = options;
    this.#unwatch = watchAbort(signal, () => this.close());
    if (signal?.aborted === true) this.close();
    void this.#start(options);
    return this;
  }

  /** Where it is bound, null while it is not. */
  address(): AddressInfo | null {
    if (this.#port === null) return null;
    const { address, port, family } = this.#port.address;
    return { address, port, family: family === "ipv6" ? "IPv6" : "IPv4" };
  }

  /** Takes no more sockets; `onClose` is called when those that are there are gone, with an error if it did not listen. */
  close(onClose?: (error?: Error) => void): this {
    if (onClose !== undefined) {
      if (this.#port !== null || this.#isStarting) this.once("close", () => onClose());
      else {
        const error = Object.assign(new Error("Server is not running."), { code: "ERR_SERVER_NOT_RUNNING" });
        process.nextTick(onClose, error);
      }
    }
    if (this.#isClosing) return this;
    this.#isClosing = true;
    this.listening = false;
    this.#port?.stopListening();
    for (const link of this.#port?.links ?? []) void link.close().catch(() => {});
    return this;
  }

  getConnections(onCount: (error: Error | null, count: number) => void): this {
    process.nextTick(onCount, null, this.#sockets.size);
    return this;
  }

  /** QUIC connections that are there now. */
  get sessions(): NetSession[] {
    return [...(this.#port?.links ?? [])].filter(({ info }) => info !== null).map(sessionOf);
  }

  ref(): this {
    this.#isRefed = true;
    this.#hold?.set(true);
    return this;
  }

  unref(): this {
    this.#isRefed = false;
    this.#hold?.set(false);
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#port === null && !this.#isStarting) return;
    await new Promise((resolve) => this.close(resolve));
  }

  async #start(options: ListenOptions): Promise<void> {
    let event: ["listening"] | ["close"] | ["error", unknown];
    try {
      const port = await openPort(options, this.#setup.hostPath);
      try {
        event = !this.#isClosing && (await this.#begin(port)) ? ["listening"] : ["close"];
      } catch (error) {
        port.stopListening();
        throw error;
      }
      if (event[0] === "close") {
        port.stopListening();
        await port.closed.promise;
      }
    } catch (error) {
      event = ["error", error];
    }
    this.#isStarting = false;
    if (event[0] !== "listening") this.#unwatch();
    process.nextTick(() => this.emit(...(event as [string])));
  }

  /** False: `close` came meanwhile. */
  async #begin(port: Port): Promise<boolean> {
    const { alpn, agent, identities, clientCertificate, ca, crl, ciphers, groups, config } = this.#setup;
    const tls = tlsAt(agent).newServerContext({
      alpn,
      identities,
      clientCertificate,
      keylog: wantsKeylogFile(),
      earlyData: false,
      ...(ca !== undefined && { ca }),
      ...(crl !== undefined && { crl }),
      ...(ciphers !== undefined && { ciphers }),
      ...(groups !== undefined && { groups }),
    });
    const free = (): void => tls.close();
    port.closed.promise.then(free, free);
    const serverNames = Object.keys(identities).filter((name) => name !== "*");
    await port.listen({ tls, config, retry: "auto" }, { alpn, serverNames }, (link) => this.#onLink(link));
    if (this.#isClosing) return false;
    this.#port = port;
    this.#hold = port.newHold();
    this.#hold.set(this.#isRefed);
    this.listening = true;
    port.closed.promise.then(
      () => this.#onPortClosed(null),
      (error: unknown) => this.#onPortClosed(error),
    );
    return true;
  }

  #onPortClosed(error: unknown): void {
    this.#unwatch();
    this.#hold?.set(false);
    this.#port = this.#hold = null;
    this.listening = false;
    if (error !== null) this.emit("error", error);
    this.emit("close");
  }

  #onLink(link: Link): void {
    let isOpened = false;
    link.user = {
      onOpened: () => {
        isOpened = true;
        this.emit("session", sessionOf(link));
      },
      onChannel: (channel) => this.#onChannel(channel),
      onTicket: () => {},
      onDatagram: (bytes) => sessionOf(link).emit("datagram", Buffer.from(bytes)),
      onEnd: (error) => {
        if (!isOpened) this.emit("tlsClientError", error);
        else sessionOf(link).emit("close", error);
      },
    };
  }

  #onChannel(channel: Channel): boolean {
    const { local, remote } = channel.link;
    if (this.maxConnections !== undefined && this.#sockets.size >= this.maxConnections) {
      this.emit("drop", {
        localAddress: local.address,
        localPort: local.port,
        remoteAddress: remote.address,
        remotePort: remote.port,
      });
      return false;
    }
    const { allowHalfOpen, highWaterMark, pauseOnConnect } = this.#options;
    const socket = sockets.of(channel, { allowHalfOpen, highWaterMark });
    if (pauseOnConnect === true) socket.pause();
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    this.emit("connection", socket);
    return true;
  }
}

/** Without a host on all addresses of both families, or of IPv4 where there is no other. */
async function openPort({ host, port, ipv6Only }: ListenOptions, hostPath: string | null): Promise<Port> {
  if (host !== undefined) return Port.open({ address: await resolveHost(host, null), port, ipv6Only, hostPath });
  try {
    return await Port.open({ address: "::", port, ipv6Only, hostPath });
  } catch (error) {
    if ((error as { code?: string }).code !== "EAFNOSUPPORT") throw error;
    return Port.open({ address: "0.0.0.0", port, ipv6Only: false, hostPath });
  }
}
