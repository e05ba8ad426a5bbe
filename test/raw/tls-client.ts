/** A TLS 1.3 client for QUIC that says what a script wants it to say: full handshakes, resumption, early data. */

import { randomBytes, timingSafeEqual } from "node:crypto";
import type { RawCertificate } from "./certificate.js";
import {
  AES_128_GCM_SHA256,
  APP,
  CERTIFICATE_REQUEST,
  CLIENT_HELLO,
  EARLY,
  ECDSA_P256_SHA256,
  ENCRYPTED_EXTENSIONS,
  EXT_ALPN,
  EXT_EARLY_DATA,
  EXT_KEY_SHARE,
  EXT_PRE_SHARED_KEY,
  EXT_PSK_MODES,
  EXT_QUIC_PARAMS,
  EXT_SERVER_NAME,
  EXT_SIGNATURE_ALGORITHMS,
  EXT_SUPPORTED_GROUPS,
  EXT_SUPPORTED_VERSIONS,
  type Extension,
  extensionList,
  FINISHED,
  GROUP_P256,
  GROUP_X25519,
  HANDSHAKE,
  INITIAL,
  type KeyShare,
  message,
  NEW_SESSION_TICKET,
  newKeyShare,
  type RawTicket,
  Reader,
  Schedule,
  SERVER_HELLO,
  ticketPsk,
  type TlsSink,
  u16,
  u32,
  u8,
  vec,
} from "./tls-messages.js";
import { type Edit, RawTlsSide } from "./tls-side.js";

export interface RawTlsClientOptions {
  alpn: readonly string[];
  serverName: string;
  /** Body of the quic_transport_parameters extension. */
  params: Buffer;
  cipherSuites?: readonly number[];
  sessionId?: Buffer;
  /** Last word on the extensions of the ClientHello, pre_shared_key excepted. */
  extensions?: (list: Extension[]) => Extension[];
  edit?: Edit;
  ticket?: RawTicket;
  /** Offer early data with the ticket. */
  early?: boolean;
  /** Answer to a CertificateRequest; an empty Certificate without it. */
  certificate?: RawCertificate;
}

export class RawTlsClient extends RawTlsSide {
  /** What the server answered. */
  alpn: string | null = null;
  peerParams: Buffer | null = null;
  cipherSuite = 0;
  /** The ClientHello as it was sent. */
  helloBytes: Buffer = Buffer.alloc(0);
  tickets: RawTicket[] = [];
  private readonly share: KeyShare;
  private certificateRequest: Buffer | null = null;

  constructor(
    private readonly options: RawTlsClientOptions,
    sink: TlsSink,
  ) {
    super(new Schedule(options.ticket?.psk ?? null), sink, options.edit);
    this.share = newKeyShare(GROUP_X25519);
  }

  start(): void {
    const { options } = this;
    const hello = this.hello();
    this.helloBytes = this.emit(INITIAL, CLIENT_HELLO, hello) ?? this.helloBytes;
    if (options.ticket !== undefined && options.early === true) {
      this.sink.secret(EARLY, "write", this.schedule.earlySecret());
    }
  }

  private hello(): Buffer {
    const { options } = this;
    let list: Extension[] = [
      [EXT_SERVER_NAME, vec(2, u8(0), vec(2, Buffer.from(options.serverName)))],
      [EXT_SUPPORTED_GROUPS, vec(2, u16(GROUP_X25519), u16(GROUP_P256))],
      [EXT_SIGNATURE_ALGORITHMS, vec(2, u16(ECDSA_P256_SHA256), u16(0x0804), u16(0x0807))],
      [EXT_ALPN, vec(2, ...options.alpn.map((name) => vec(1, Buffer.from(name))))],
      [EXT_SUPPORTED_VERSIONS, vec(1, u16(0x0304))],
      [EXT_PSK_MODES, vec(1, u8(1))],
      [EXT_KEY_SHARE, vec(2, u16(this.share.group), vec(2, this.share.publicBytes))],
      [EXT_QUIC_PARAMS, options.params],
    ];
    if (options.early === true) list.push([EXT_EARLY_DATA, Buffer.alloc(0)]);
    list = options.extensions?.(list) ?? list;
    const { ticket } = options;
    if (ticket !== undefined) {
      const age = (Date.now() - ticket.receivedAtMillis + ticket.ageAdd) % 2 ** 32;
      const identities = vec(2, vec(2, ticket.identity), u32(age));
      list.push([EXT_PRE_SHARED_KEY, Buffer.concat([identities, vec(2, vec(1, Buffer.alloc(32)))])]);
    }
    const suites = options.cipherSuites ?? [AES_128_GCM_SHA256];
    const hello = message(
      CLIENT_HELLO,
      u16(0x0303),
      randomBytes(32),
      vec(1, options.sessionId ?? Buffer.alloc(0)),
      vec(2, ...suites.map(u16)),
      vec(1, u8(0)),
      extensionList(list),
    );
    if (ticket !== undefined) {
      const binderBytes = 35;
      const end = hello.length - binderBytes;
      this.schedule.binder(hello.subarray(0, end)).copy(hello, hello.length - 32);
    }
    return hello;
  }

  protected onMessage(type: number, whole: Buffer): void {
    const body = whole.subarray(4);
    if (type === FINISHED) {
      this.onFinished(whole, body);
      return;
    }
    if (type === NEW_SESSION_TICKET) {
      this.onTicket(new Reader(body));
      return;
    }
    this.schedule.add(whole);
    if (type === SERVER_HELLO) this.onServerHello(new Reader(body));
    else if (type === ENCRYPTED_EXTENSIONS) this.onEncryptedExtensions(new Reader(body).extensions());
    else if (type === CERTIFICATE_REQUEST) this.certificateRequest = new Reader(body).vec(1);
  }

  private onServerHello(reader: Reader): void {
    reader.take(34);
    reader.vec(1);
    this.cipherSuite = reader.int(2);
    reader.int(1);
    const extensions = reader.extensions();
    this.resumed = extensions.has(EXT_PRE_SHARED_KEY);
    if (!this.resumed) this.schedule.withoutPsk();
    const share = new Reader(extensions.get(EXT_KEY_SHARE) as Buffer);
    if (share.int(2) !== this.share.group) throw new Error("the server chose another group");
    this.schedule.onShared(this.share.shared(share.vec(2)));
    const { client, server } = this.schedule.handshakeSecrets();
    this.clientSecret = client;
    this.serverSecret = server;
    this.sink.secret(HANDSHAKE, "read", server);
    this.sink.secret(HANDSHAKE, "write", client);
  }

  private onEncryptedExtensions(extensions: Map<number, Buffer>): void {
    const alpn = extensions.get(EXT_ALPN);
    this.alpn = alpn === undefined ? null : new Reader(new Reader(alpn).vec(2)).vec(1).toString();
    this.peerParams = extensions.get(EXT_QUIC_PARAMS) ?? null;
    this.earlyAccepted = extensions.has(EXT_EARLY_DATA);
  }

  private onFinished(whole: Buffer, body: Buffer): void {
    if (!timingSafeEqual(body, this.schedule.verifyData(this.serverSecret))) {
      throw new Error("the server's Finished is wrong");
    }
    this.schedule.add(whole);
    const { client, server } = this.schedule.appSecrets();
    if (this.certificateRequest !== null) {
      const { certificate } = this.options;
      this.emitCertificate("client", certificate === undefined ? [] : [certificate], this.certificateRequest);
    }
    this.emit(HANDSHAKE, FINISHED, message(FINISHED, this.schedule.verifyData(this.clientSecret)));
    this.resumption = this.schedule.resumptionSecret();
    this.done = true;
    this.sink.secret(APP, "read", server);
    this.sink.secret(APP, "write", client);
  }

  private onTicket(reader: Reader): void {
    reader.int(4);
    const ageAdd = reader.int(4);
    const nonce = reader.vec(1);
    const identity = reader.vec(2);
    const early = reader.extensions().get(EXT_EARLY_DATA);
    this.tickets.push({
      identity: Buffer.from(identity),
      psk: ticketPsk(this.resumption, nonce),
      ageAdd,
      maxEarlyData: early === undefined ? 0 : early.readUInt32BE(0),
      receivedAtMillis: Date.now(),
      alpn: this.alpn ?? "",
    });
  }
}
