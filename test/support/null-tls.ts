/**
 * A TLS that secures nothing, for simulation: the flights, message framing and results of a TLS 1.3 handshake over QUIC
 * (RFC 9001 §4, RFC 8446 §4), with secrets that are a plain function of the two randoms. It is deterministic, sizes
 * and options are chosen by the scenario, and every byte that is lost, swapped or changed on the way is found, because
 * Finished and the secrets depend on the whole transcript.
 */

import { AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305, type AeadId } from "#src/port/aead.js";
import type { Random } from "#src/port/random.js";
import {
  LEVEL_APP,
  LEVEL_EARLY,
  LEVEL_HANDSHAKE,
  LEVEL_INITIAL,
  LEVELS,
  type Level,
  type TlsClientConfig,
  type TlsContext,
  type TlsInfo,
  type TlsProvider,
  type TlsResult,
  type TlsServerConfig,
  type TlsSession,
  type TlsSessionOptions,
} from "#src/port/tls.js";
import { Mix } from "./null-mix.js";
import {
  ALERT_DECRYPT_ERROR,
  ALERT_NO_APPLICATION_PROTOCOL,
  ALERT_UNEXPECTED_MESSAGE,
  AlertError,
  CERTIFICATE,
  CERTIFICATE_REQUEST,
  CERTIFICATE_VERIFY,
  CLIENT_HELLO,
  ENCRYPTED_EXTENSIONS,
  FINISHED,
  NEW_SESSION_TICKET,
  SERVER_HELLO,
  clientHello,
  encryptedExtensions,
  filler,
  helloRetryRequest,
  isHelloRetry,
  isResumption,
  newSessionTicket,
  openTicket,
  parseClientHello,
  parseEncryptedExtensions,
  serverHello,
  ticketOf,
} from "./null-tls-messages.js";

const FINISHED_BYTES = 32;
const VERIFY_BYTES = 80;
const CIPHERS = new Map<AeadId, string>([
  [AEAD_AES_128_GCM, "TLS_AES_128_GCM_SHA256"],
  [AEAD_AES_256_GCM, "TLS_AES_256_GCM_SHA384"],
  [AEAD_CHACHA20_POLY1305, "TLS_CHACHA20_POLY1305_SHA256"],
]);

export interface NullTlsOptions {
  random: Random;
  aead?: AeadId;
  /** Server: body of the Certificate message, bytes. */
  certificateBytes?: number;
  /** Client: length of the key share, which makes the ClientHello small or larger than a datagram. */
  keyShareBytes?: number;
  /** Server: answer the first ClientHello with HelloRetryRequest. */
  helloRetry?: boolean;
  /** Server: ask for a client certificate; the client sends one of `certificateBytes`. */
  clientAuth?: boolean;
  /** Server: tickets sent after the handshake. */
  tickets?: number;
  /** Fail when this message type arrives, with this alert. */
  failOn?: number;
  failAlert?: number;
  /** Runs a step of a session later (and only later); absent = at once. */
  later?: (step: () => void) => void;
}

export class NullTls implements TlsProvider {
  readonly name = "null";
  readonly version = "null";
  /** Sessions made and not closed. */
  liveSessions = 0;

  constructor(readonly options: NullTlsOptions) {}

  newClientContext(config: TlsClientConfig): TlsContext {
    return this.context(false, config.alpn, config.serverName, config.earlyData === true, config.ticket);
  }

  newServerContext(config: TlsServerConfig): TlsContext {
    return this.context(true, config.alpn, "", config.earlyData === true);
  }

  private context(
    isServer: boolean,
    alpn: string[],
    serverName: string,
    earlyData: boolean,
    ticket?: Uint8Array,
  ): TlsContext {
    return {
      isServer,
      newSession: (session) => {
        this.liveSessions++;
        const options = { ...(ticket !== undefined && { ticket }), ...session };
        const wantsEarly = earlyData && session.earlyData !== false;
        return new NullSession(this, isServer, alpn, session.serverName ?? serverName, wantsEarly, options);
      },
      close: () => {},
    };
  }
}

class NullSession implements TlsSession {
  onResults: (() => void) | null = null;
  private readonly results: TlsResult[] = [];
  private taken = 0;
  private readonly steps: (() => void)[] = [];
  private readonly pending = Array.from({ length: LEVELS }, () => ({ buf: new Uint8Array(0), length: 0 }));
  private readonly transcript = new Mix().reset(1, 2, 3, 4);
  private readonly aead: AeadId;
  private readonly info: TlsInfo;
  /** Type of the message that must come next. */
  private expected: number;
  private helloRetried = false;
  private certificateAsked = false;
  /** Server: 0-RTT may be accepted for this protocol. */
  private earlyAlpn: string | null = null;
  private stopped = false;
  private closed = false;

  constructor(
    private readonly provider: NullTls,
    private readonly isServer: boolean,
    private readonly alpn: string[],
    private readonly serverName: string,
    private readonly earlyData: boolean,
    private readonly session: TlsSessionOptions,
  ) {
    this.aead = provider.options.aead ?? AEAD_AES_128_GCM;
    this.expected = isServer ? CLIENT_HELLO : SERVER_HELLO;
    this.info = {
      alpn: "",
      serverName,
      cipher: CIPHERS.get(this.aead) ?? "",
      group: "null",
      resumed: false,
      pskIdentity: "",
      earlyDataAccepted: false,
      peerCertificates: [],
      verifyError: "",
    };
    if (!isServer) this.step(() => this.sendClientHello());
  }

  put(level: Level, bytes: Uint8Array): void {
    if (this.closed) return;
    const own = bytes.slice();
    this.step(() => this.receive(level, own));
  }

  allowEarlyData(alpn: string): void {
    if (!this.closed) this.step(() => void (this.earlyAlpn = alpn));
  }

  take(): TlsResult | null {
    if (this.taken >= this.results.length) return null;
    return this.results[this.taken++];
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.results.length = this.taken = 0;
    this.provider.liveSessions--;
  }

  /** Runs `work` now, or in its turn when results come later. */
  private step(work: () => void): void {
    const { later } = this.provider.options;
    if (later === undefined) {
      work();
      return;
    }
    this.steps.push(work);
    later(() => {
      const next = this.steps.shift();
      if (this.closed || next === undefined) return;
      const before = this.results.length;
      next();
      if (this.results.length > before) this.onResults?.();
    });
  }

  private receive(level: Level, bytes: Uint8Array): void {
    if (this.stopped) return;
    const held = this.pending[level];
    if (held.length + bytes.length > held.buf.length) {
      const grown = new Uint8Array(Math.max(1024, 2 * (held.length + bytes.length)));
      grown.set(held.buf.subarray(0, held.length));
      held.buf = grown;
    }
    held.buf.set(bytes, held.length);
    held.length += bytes.length;
    let at = 0;
    while (!this.stopped && at + 4 <= held.length) {
      const end = at + 4 + ((held.buf[at + 1] << 16) | (held.buf[at + 2] << 8) | held.buf[at + 3]);
      if (end > held.length) break;
      this.message(level, held.buf.subarray(at, end));
      at = end;
    }
    held.buf.copyWithin(0, at, held.length);
    held.length -= at;
  }

  private message(level: Level, message: Uint8Array): void {
    const type = message[0];
    try {
      const { failOn, failAlert = 0 } = this.provider.options;
      if (type === failOn) throw new AlertError(failAlert, "told to fail");
      const levelOf = type === CLIENT_HELLO || type === SERVER_HELLO ? LEVEL_INITIAL : LEVEL_HANDSHAKE;
      if (type === NEW_SESSION_TICKET) return this.onTicket(level, message);
      const isRequest = type === CERTIFICATE_REQUEST && this.expected === CERTIFICATE && !this.isServer;
      if (level !== levelOf || (type !== this.expected && !isRequest)) {
        throw new AlertError(ALERT_UNEXPECTED_MESSAGE, `message ${type} at level ${level}, not ${this.expected}`);
      }
      if (this.isServer) this.onClientMessage(type, message);
      else this.onServerMessage(type, message);
    } catch (error) {
      if (!(error instanceof AlertError)) throw error;
      this.stopped = true;
      this.results.push({ kind: "alert", alert: error.alert, message: error.message });
    }
  }

  private onClientMessage(type: number, message: Uint8Array): void {
    switch (type) {
      case CLIENT_HELLO:
        return this.onClientHello(message);
      case CERTIFICATE:
        this.info.peerCertificates = [message.slice(4)];
        this.expected = CERTIFICATE_VERIFY;
        break;
      case CERTIFICATE_VERIFY:
        this.expected = FINISHED;
        break;
      default:
        this.checkFinished(message);
        this.note(message);
        this.expected = -1;
        this.secret(LEVEL_APP, "read");
        for (let left = this.provider.options.tickets ?? 0; left > 0; left--) {
          const ticket = newSessionTicket(
            { aead: this.aead, earlyData: this.earlyData, scope: this.session.ticketScope ?? 0 },
            this.randomBytes(),
          );
          this.results.push({ kind: "send", level: LEVEL_APP, bytes: ticket });
        }
        this.results.push({ kind: "done", info: this.info });
        return;
    }
    this.note(message);
  }

  private onClientHello(message: Uint8Array): void {
    const { options } = this.provider;
    const hello = parseClientHello(message);
    this.note(message);
    if (hello.params !== null) this.results.push({ kind: "peer-params", bytes: hello.params });
    if (options.helloRetry === true && !this.helloRetried) {
      this.helloRetried = true;
      this.send(LEVEL_INITIAL, helloRetryRequest());
      return;
    }
    const chosen = this.alpn.find((name) => hello.alpn.includes(name));
    if (chosen === undefined) throw new AlertError(ALERT_NO_APPLICATION_PROTOCOL, "no common protocol");
    this.info.alpn = chosen;
    this.info.serverName = hello.serverName;
    const ticket = options.clientAuth === true ? null : openTicket(hello.ticket);
    this.info.resumed = ticket?.aead === this.aead && ticket.scope === ((this.session.ticketScope ?? 0) & 0xffff);
    const isEarly = this.earlyData && hello.earlyData && ticket?.earlyData === true && this.earlyAlpn === chosen;
    this.info.earlyDataAccepted = isEarly && this.info.resumed && !this.helloRetried;
    if (this.info.earlyDataAccepted) this.secret(LEVEL_EARLY, "read");
    this.send(LEVEL_INITIAL, serverHello(this.randomBytes(), this.info.resumed));
    this.secret(LEVEL_HANDSHAKE, "write");
    this.secret(LEVEL_HANDSHAKE, "read");
    this.send(LEVEL_HANDSHAKE, encryptedExtensions(chosen, this.session.transportParams, this.info.earlyDataAccepted));
    if (options.clientAuth === true) this.send(LEVEL_HANDSHAKE, filler(CERTIFICATE_REQUEST, FINISHED_BYTES));
    if (!this.info.resumed) {
      this.send(LEVEL_HANDSHAKE, filler(CERTIFICATE, options.certificateBytes ?? 700));
      this.send(LEVEL_HANDSHAKE, filler(CERTIFICATE_VERIFY, VERIFY_BYTES));
    }
    this.send(LEVEL_HANDSHAKE, this.finished());
    this.freezeAppSecrets();
    this.secret(LEVEL_APP, "write");
    this.expected = options.clientAuth === true ? CERTIFICATE : FINISHED;
  }

  private onServerMessage(type: number, message: Uint8Array): void {
    if (type === FINISHED) {
      this.checkFinished(message);
      this.note(message);
      this.finishClient();
      return;
    }
    this.note(message);
    switch (type) {
      case SERVER_HELLO:
        if (isHelloRetry(message)) {
          if (this.helloRetried) throw new AlertError(ALERT_UNEXPECTED_MESSAGE, "a second HelloRetryRequest");
          this.helloRetried = true;
          this.sendClientHello();
          return;
        }
        this.info.resumed = isResumption(message);
        this.secret(LEVEL_HANDSHAKE, "read");
        this.secret(LEVEL_HANDSHAKE, "write");
        this.expected = ENCRYPTED_EXTENSIONS;
        return;
      case ENCRYPTED_EXTENSIONS: {
        const extensions = parseEncryptedExtensions(message);
        this.info.alpn = extensions.alpn[0] ?? "";
        if (extensions.params !== null) this.results.push({ kind: "peer-params", bytes: extensions.params });
        this.info.earlyDataAccepted = extensions.earlyData;
        this.expected = this.info.resumed ? FINISHED : CERTIFICATE;
        return;
      }
      case CERTIFICATE_REQUEST:
        this.certificateAsked = true;
        return;
      case CERTIFICATE:
        this.info.peerCertificates = [message.slice(4)];
        this.expected = CERTIFICATE_VERIFY;
        return;
      default:
        this.expected = FINISHED;
    }
  }

  private finishClient(): void {
    this.expected = -1;
    this.freezeAppSecrets();
    if (this.certificateAsked) {
      this.send(LEVEL_HANDSHAKE, filler(CERTIFICATE, this.provider.options.certificateBytes ?? 700));
      this.send(LEVEL_HANDSHAKE, filler(CERTIFICATE_VERIFY, VERIFY_BYTES));
    }
    this.send(LEVEL_HANDSHAKE, this.finished());
    this.secret(LEVEL_APP, "write");
    this.secret(LEVEL_APP, "read");
    this.results.push({ kind: "done", info: this.info });
  }

  private onTicket(level: Level, message: Uint8Array): void {
    if (this.isServer || level !== LEVEL_APP || this.expected !== -1) {
      throw new AlertError(ALERT_UNEXPECTED_MESSAGE, "NewSessionTicket where none may come");
    }
    this.results.push({ kind: "ticket", bytes: ticketOf(message) });
  }

  private sendClientHello(): void {
    const { keyShareBytes = 32 } = this.provider.options;
    const { transportParams } = this.session;
    const ticket = this.session.ticket ?? null;
    const known = openTicket(ticket);
    const earlyData = this.earlyData && known?.earlyData === true && !this.helloRetried;
    const { alpn, serverName } = this;
    const hello = { random: this.randomBytes(), alpn, serverName, keyShareBytes, ticket, earlyData };
    this.send(LEVEL_INITIAL, clientHello(hello, transportParams, this.helloRetried));
    if (earlyData) this.secret(LEVEL_EARLY, "write");
  }

  private send(level: Level, message: Uint8Array): void {
    this.note(message);
    this.results.push({ kind: "send", level, bytes: message });
  }

  private note(message: Uint8Array): void {
    this.transcript.add(message, 0, message.length).stir();
  }

  private readonly appSecrets = new Mix();

  /** Secrets of 1-RTT depend on the transcript up to the server's Finished (RFC 8446 §7.1). */
  private freezeAppSecrets(): void {
    const { a, b, c, d } = this.transcript;
    this.appSecrets.reset(a, b, c, d);
  }

  private secret(level: Level, direction: "read" | "write"): void {
    const source = level === LEVEL_APP ? this.appSecrets : this.transcript;
    const ofServer = (direction === "write") === this.isServer;
    const secret = new Uint8Array(this.aead === AEAD_AES_256_GCM ? 48 : 32);
    const mix = new Mix().reset(source.a, source.b, source.c, source.d);
    mix
      .addWord(level)
      .addWord(ofServer ? 1 : 2)
      .squeeze(secret, 0, secret.length);
    this.results.push({ kind: "secret", level, direction, aead: this.aead, secret });
  }

  private finished(): Uint8Array {
    const message = filler(FINISHED, FINISHED_BYTES);
    const { a, b, c, d } = this.transcript;
    new Mix().reset(a, b, c, d).squeeze(message, 4, FINISHED_BYTES);
    return message;
  }

  private checkFinished(message: Uint8Array): void {
    const expected = this.finished();
    const same = message.length === expected.length && expected.every((byte, i) => byte === message[i]);
    if (!same) throw new AlertError(ALERT_DECRYPT_ERROR, "Finished does not match the transcript");
  }

  private randomBytes(): Uint8Array {
    const bytes = new Uint8Array(32);
    this.provider.options.random.fill(bytes, 0, 32);
    return bytes;
  }
}
