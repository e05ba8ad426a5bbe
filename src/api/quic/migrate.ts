/**
 * A client's session moves to another local address (RFC 9000 §9): a socket is opened there, the engine asks the path, and
 * what came of it is known by the socket. The endpoint closes a socket that no session uses any longer.
 */

import { isIP, type SocketAddress } from "node:net";
import type { MoveRefusal, MoveTarget, PathValidation } from "../../port/transport.js";
import { ADDR_COLS } from "../../port/udp.js";
import { isMappedIpv4 } from "../../runtime/address.js";
import { invalidState, invalidValue, QuicError } from "../errors.js";
import { setLocal } from "../address.js";
import { Deferred, watchAbort } from "../deferred.js";
import { OptionReader } from "../option-reader.js";
import type { SessionCore } from "./session-core.js";

export interface MigrateOptions {
  /** Literal local address to move to; default: that of the endpoint, or any that leads to the server. */
  address?: string;
  /** Local port, 0 (default) = any. */
  port?: number;
  /**
   * The old address is gone: data takes the new path at once, before it has answered, and goes back if it does not.
   * Default false: data stays where it is until then.
   */
  force?: boolean;
  /** Gives the move up. */
  signal?: AbortSignal;
}

/** What a session moves between. */
export interface SessionPath {
  local: SocketAddress;
  remote: SocketAddress;
}

/** The moves of one session that are under way; made with the first. */
export class SessionMoves {
  private readonly pending = new Map<number, Deferred<void>>();
  private confirmed: Deferred<void> | null = null;

  constructor(private readonly core: SessionCore) {}

  async migrate(given: MigrateOptions | undefined): Promise<SessionPath> {
    const { core } = this;
    const { address, port, force, signal } = readOptions(given);
    signal?.throwIfAborted();
    if (core.destroyed || core.closing) throw invalidState("the session is closed or closing");
    if (core.transport.isServer) throw invalidState("only a client moves; a server has preferredAddressIpv4 and 6");
    await this.untilConfirmed(signal);
    const { endpoint } = core;
    const socket = await endpoint.addSocket(address, port);
    try {
      signal?.throwIfAborted();
      await this.move(this.target(socket, force), signal);
      return { local: core.local, remote: core.remote };
    } finally {
      endpoint.releaseSocket(socket);
    }
  }

  /** RFC 9000 §9: no client moves before. */
  onConfirmed(): void {
    this.confirmed?.resolve();
  }

  onResult({ result, socket, preferred }: PathValidation): void {
    if (result === "success") this.pending.get(socket)?.resolve();
    else if (!preferred) this.pending.get(socket)?.reject(pathFailed(result));
  }

  /** The session is over. */
  onEnd(error: unknown): void {
    this.confirmed?.reject(error);
    for (const one of this.pending.values()) one.reject(error);
  }

  private untilConfirmed(signal: AbortSignal | undefined): Promise<void> {
    if (this.core.transport.handshakeState.confirmed) return Promise.resolve();
    this.confirmed ??= new Deferred();
    return orAborted(this.confirmed.promise, signal, () => {});
  }

  private move(target: MoveTarget, signal: AbortSignal | undefined): Promise<void> {
    const { transport } = this.core;
    const refusal = transport.migrate(target, this.core.nowMicros());
    if (refusal !== null) throw refused(refusal);
    const done = new Deferred<void>();
    this.pending.set(target.socket, done);
    const stop = (): void => void transport.migrate(null, this.core.nowMicros());
    return orAborted(done.promise, signal, stop).finally(() => this.pending.delete(target.socket));
  }

  private target(socket: number, force: boolean): MoveTarget {
    const { core } = this;
    const { address } = core.endpoint.addressOf(socket);
    const local = new Int32Array(ADDR_COLS);
    setLocal(local, address);
    // a wildcard socket of both families goes where the server is
    const isAny = address === "::" && isMappedIpv4(core.transport.path.addr, 0);
    const isIpv4 = isAny || isIP(address) === 4;
    return { socket, local, isIpv4, force };
  }
}

function readOptions(given: MigrateOptions | undefined) {
  const reader = new OptionReader(given, "options");
  const address = reader.string("address");
  if (address !== undefined && isIP(address) === 0) {
    throw invalidValue(reader.name("address"), "is no literal IPv4 or IPv6 address", address);
  }
  const options = {
    address,
    port: reader.number("port", 0, 65_535) ?? 0,
    force: reader.boolean("force") ?? false,
    signal: reader.signal("signal"),
  };
  reader.finish();
  return options;
}

/** As `promise`, or rejects with the signal's reason, after `onAbort`. */
function orAborted(promise: Promise<void>, signal: AbortSignal | undefined, onAbort: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = watchAbort(signal, () => {
      onAbort();
      reject(signal?.reason as Error);
    });
    promise.then(resolve, reject).finally(end);
  });
}

const REFUSALS: Record<MoveRefusal, string> = {
  closed: "the session is closed",
  server: "only a client moves",
  "not-confirmed": "the handshake is not confirmed",
  disabled: "the server does not allow its clients to move (disable_active_migration)",
  "no-connection-id": "the server has left no connection id for another path; try again later",
  "no-address": "the server has no address of that family",
};

function refused(refusal: MoveRefusal): Error {
  if (refusal === "closed") return invalidState(REFUSALS.closed);
  return new QuicError(REFUSALS[refusal], { code: "ERR_NETQUIC_MIGRATION_REFUSED", type: "transport" });
}

function pathFailed(result: "failure" | "aborted"): QuicError {
  const why = result === "failure" ? "the server did not answer on the new path" : "another move took its place";
  const message = `${why}; the session stays where it was`;
  return new QuicError(message, { code: "ERR_NETQUIC_PATH_FAILED", type: "transport" });
}
