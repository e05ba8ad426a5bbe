/**
 * port/tls over the addon, the same for both libraries: contexts and sessions are native handles, results are drained
 * one by one from the native queue. Everything happens inside `put`, so `onResults` is never needed. The native side
 * reports numbers (alert, verification); their names and advice are added here.
 */

import { randomBytes } from "node:crypto";
import type {
  Level,
  TlsClientConfig,
  TlsContext,
  TlsInfo,
  TlsProvider,
  TlsResult,
  TlsServerConfig,
  TlsSession,
  TlsSessionOptions,
} from "../../port/tls.js";
import { ALERT_ILLEGAL_PARAMETER, localAlertText } from "../../proto/tls-alert.js";
import { loadAddon } from "./addon.js";
import {
  defaultCa,
  type LibraryName,
  MIN_TICKET_SECRET_BYTES,
  type NativeConfig,
  type NativeName,
  nativeClientConfig,
  nativeName,
  nativeServerConfig,
  trustDigest,
} from "./tls-config.js";
import { TicketKeys } from "./ticket-keys.js";
import { asBytes, holds, type TicketUse, ticketUse } from "./ticket-use.js";
import { openTicket, sealTicket, type TicketBinding } from "./tls-ticket.js";
import { verifyErrorName } from "./tls-verify.js";

/** A native handle; nothing but the addon looks inside. */
type Handle = object;

type NativeResult =
  | Exclude<TlsResult, { kind: "done" | "alert" | "ticket" }>
  | { kind: "done"; info: Omit<TlsInfo, "verifyError"> & { verifyCode: number } }
  | { kind: "ticket"; bytes: Uint8Array; verifyCode: number }
  | { kind: "alert"; alert: number; verifyCode: number; reason: string };

interface NativeSessionOptions {
  transportParams: Uint8Array;
  ticket: Uint8Array;
  /** See `ticket-keys`. */
  ticketKeys: Uint8Array;
  earlyData: boolean;
}

interface TlsAddon {
  tlsLibrary(library: LibraryName): { version: string; missing: string };
  tlsHasGroup(library: LibraryName, name: string): boolean;
  tlsTrust(library: LibraryName, options: { pems: string[]; lenient: boolean; crls: string[] }): Handle;
  tlsContext(library: LibraryName, config: NativeConfig, trust: Handle): Handle;
  tlsSession(context: Handle, options: NativeName & NativeSessionOptions): Handle;
  tlsAllowEarlyData(session: Handle, alpn: string): void;
  tlsPut(session: Handle, level: number, bytes: Uint8Array): void;
  tlsTake(session: Handle): NativeResult | null;
  tlsClose(handle: Handle): void;
}

type Trusted = Pick<TlsClientConfig, "ca" | "crl">;

const NO_BYTES = new Uint8Array(0);

/** Why the running Node lacks the library, or "" when it is there. */
export function missingLibrary(library: LibraryName): string {
  return loadAddon<TlsAddon>().tlsLibrary(library).missing;
}

/**
 * @param nowSeconds wall clock, for the keys of tickets
 * @throws Error with code `ERR_NETQUIC_NO_TLS` when the running Node lacks the library.
 */
export function nativeTlsProvider(
  library: LibraryName,
  nowSeconds: () => number = () => Date.now() / 1000,
): TlsProvider {
  const addon = loadAddon<TlsAddon>();
  const { version, missing } = addon.tlsLibrary(library);
  if (missing !== "") throw Object.assign(new Error(missing), { code: "ERR_NETQUIC_NO_TLS" });
  return new NativeProvider(addon, library, version, nowSeconds);
}

class NativeProvider implements TlsProvider {
  /** The default trust store, parsed at its first use. */
  private defaultTrust: Handle | undefined;

  constructor(
    private readonly addon: TlsAddon,
    readonly name: LibraryName,
    readonly version: string,
    private readonly nowSeconds: () => number,
  ) {}

  newClientContext(config: TlsClientConfig): TlsContext {
    const native = nativeClientConfig(this.name, config, this.hasGroup);
    return new ClientContext(this.addon, this.context(native, config), this.name, config);
  }

  newServerContext(config: TlsServerConfig): TlsContext {
    const secret = config.ticketSecret?.slice() ?? new Uint8Array(randomBytes(MIN_TICKET_SECRET_BYTES));
    const native = nativeServerConfig(this.name, config, this.hasGroup);
    const handle = this.context(native, native.clientCert === 0 ? { ca: [] } : config);
    // a resumed session shows no certificate: who asks for one takes no ticket of a server that does not
    const certificates = native.clientCert === 0 ? "" : `clientCertificate ${native.clientCert} `;
    const policy = config.psk === undefined ? certificates : "psk ";
    const keys = new TicketKeys(this.name, secret, this.nowSeconds, policy);
    return new ServerContext(this.addon, handle, keys, config.alpn.map(asBytes));
  }

  private readonly hasGroup = (group: string): boolean => this.addon.tlsHasGroup(this.name, group);

  private context(native: NativeConfig, { ca, crl = [] }: Trusted): Handle {
    const { addon, name } = this;
    if (ca === undefined && crl.length === 0) {
      this.defaultTrust ??= addon.tlsTrust(name, { pems: defaultCa(), lenient: true, crls: [] });
      return addon.tlsContext(name, native, this.defaultTrust);
    }
    const trust = addon.tlsTrust(name, { pems: ca ?? defaultCa(), lenient: ca === undefined, crls: crl });
    try {
      return addon.tlsContext(name, native, trust);
    } finally {
      addon.tlsClose(trust); // the context keeps what it needs; waiting for the collector would pile parsed stores up
    }
  }
}

class ServerContext implements TlsContext {
  readonly isServer = true;

  constructor(
    private readonly addon: TlsAddon,
    private readonly handle: Handle,
    private readonly keys: TicketKeys,
    private readonly protocols: readonly string[],
  ) {}

  newSession(options: TlsSessionOptions): TlsSession {
    const { transportParams, ticketScope = 0, hello } = options;
    const use = hello === undefined ? null : ticketUse(hello, this.protocols);
    const ticketKeys = hello !== undefined && use === null ? this.keys.once() : this.keys.of(ticketScope, use);
    const none = { sni: "", verifyDns: "", verifyIp: "", ticket: NO_BYTES, earlyData: false };
    const handle = this.addon.tlsSession(this.handle, { ...none, transportParams, ticketKeys });
    return new NativeSession(this.addon, handle, null, use);
  }

  close(): void {
    this.addon.tlsClose(this.handle);
  }
}

class ClientContext implements TlsContext {
  readonly isServer = false;
  private readonly caDigest: Uint8Array;
  private readonly mayBeNameless: boolean;

  constructor(
    private readonly addon: TlsAddon,
    private readonly handle: Handle,
    private readonly library: LibraryName,
    private readonly config: TlsClientConfig,
  ) {
    this.caDigest = trustDigest(config);
    this.mayBeNameless = config.verify === "report" || config.psk !== undefined;
    nativeName(config.serverName, this.mayBeNameless); // a bad name throws here, not at the first session
  }

  newSession(options: TlsSessionOptions): TlsSession {
    const { verify } = this.config;
    const serverName = options.serverName ?? this.config.serverName;
    const name = nativeName(serverName, this.mayBeNameless);
    const binding: TicketBinding = {
      library: this.library,
      caDigest: this.caDigest,
      host: name.verifyDns || name.verifyIp,
    };
    const sealed = options.ticket ?? this.config.ticket;
    const ticket = sealed === undefined ? null : openTicket(sealed, binding, verify);
    const handle = this.addon.tlsSession(this.handle, {
      ...name,
      transportParams: options.transportParams,
      ticket: ticket?.session ?? NO_BYTES,
      ticketKeys: NO_BYTES,
      earlyData: this.config.earlyData === true && options.earlyData !== false,
    });
    return new NativeSession(this.addon, handle, { ...binding, resumedVerifyCode: ticket?.verifyCode ?? 0 });
  }

  close(): void {
    this.addon.tlsClose(this.handle);
  }
}

class NativeSession implements TlsSession {
  onResults: (() => void) | null = null;
  private closed = false;
  private resumed = false;

  /** `client` is null at a server, `use` at a client. */
  constructor(
    private readonly addon: TlsAddon,
    private readonly handle: Handle,
    private readonly client: (TicketBinding & { resumedVerifyCode: number }) | null,
    private readonly use: TicketUse | null = null,
  ) {}

  put(level: Level, bytes: Uint8Array): void {
    if (!this.closed) this.addon.tlsPut(this.handle, level, bytes);
  }

  allowEarlyData(alpn: string): void {
    if (!this.closed) this.addon.tlsAllowEarlyData(this.handle, alpn);
  }

  take(): TlsResult | null {
    if (this.closed) return null;
    const result = this.addon.tlsTake(this.handle);
    if (result === null) return null;
    switch (result.kind) {
      case "done":
        return this.done(this.info(result.info));
      case "ticket":
        return { kind: "ticket", bytes: this.ticket(result.bytes, result.verifyCode) };
      case "alert":
        return { kind: "alert", alert: result.alert, message: alertMessage(result) };
      default:
        return result;
    }
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.addon.tlsClose(this.handle);
  }

  private done(info: TlsInfo): TlsResult {
    if (this.use === null || holds(this.use, info)) return { kind: "done", info };
    return { kind: "alert", alert: ALERT_ILLEGAL_PARAMETER, message: localAlertText(ALERT_ILLEGAL_PARAMETER) };
  }

  private info(native: Omit<TlsInfo, "verifyError"> & { verifyCode: number }): TlsInfo {
    const { verifyCode, ...info } = native;
    this.resumed = info.resumed;
    // A resumed session checks no certificate again: what was found at the first time still holds.
    return { ...info, verifyError: verifyErrorName(this.verifyCode(verifyCode)) };
  }

  private ticket(session: Uint8Array, verifyCode: number): Uint8Array {
    if (this.client === null) return session;
    return sealTicket(this.client, this.verifyCode(verifyCode), session);
  }

  private verifyCode(verifyCode: number): number {
    return this.resumed && this.client !== null ? this.client.resumedVerifyCode : verifyCode;
  }
}

function alertMessage(result: { alert: number; verifyCode: number; reason: string }): string {
  const why = result.verifyCode === 0 ? result.reason : verifyErrorName(result.verifyCode);
  return why === "" ? localAlertText(result.alert) : `${localAlertText(result.alert)} (${why})`;
}
