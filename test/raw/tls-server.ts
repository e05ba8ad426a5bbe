/** A TLS 1.3 server for QUIC that says what a script wants it to say: full handshakes, tickets, resumption, early data. */

import { randomBytes } from "node:crypto";
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
  EXT_QUIC_PARAMS,
  EXT_SIGNATURE_ALGORITHMS,
  EXT_SUPPORTED_VERSIONS,
  type Extension,
  extensionList,
  FINISHED,
  GROUP_P256,
  GROUP_X25519,
  HANDSHAKE,
  INITIAL,
  MAX_EARLY_DATA,
  message,
  NEW_SESSION_TICKET,
  newKeyShare,
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

/** Tickets that a raw server gave out, by identity in hex; shared between its connections. */
export type TicketStore = Map<string, Buffer>;

export interface RawTlsServerOptions {
  chain: readonly RawCertificate[];
  /** Null: none in EncryptedExtensions; undefined: the client's first. */
  alpn?: string | null;
  /** Body of the quic_transport_parameters extension, asked for once the ClientHello is there. */
  params: () => Buffer;
  /** Last word on EncryptedExtensions. */
  extensions?: (list: Extension[]) => Extension[];
  edit?: Edit;
  /** Tickets are looked up here, and new ones go in. */
  tickets?: TicketStore;
  acceptEarly?: boolean;
  /** Read 0-RTT packets although they are refused. */
  peekEarly?: boolean;
  requestCertificate?: boolean;
  /** A version to choose in place of TLS 1.3; null leaves supported_versions out. */
  version?: number | null;
}

export class RawTlsServer extends RawTlsSide {
  clientParams: Buffer | null = null;
  clientExtensions = new Map<number, Buffer>();
  clientAlpn: string[] = [];
  clientSessionId: Buffer = Buffer.alloc(0);
  earlyOffered = false;

  constructor(
    private readonly options: RawTlsServerOptions,
    sink: TlsSink,
  ) {
    super(new Schedule(null), sink, options.edit);
  }

  protected onMessage(type: number, whole: Buffer): void {
    if (type === CLIENT_HELLO) this.onHello(whole);
    else if (type === FINISHED) this.onFinished(whole);
    else this.schedule.add(whole);
  }

  private onHello(whole: Buffer): void {
    const reader = new Reader(whole.subarray(4));
    reader.take(34);
    this.clientSessionId = Buffer.from(reader.vec(1));
    reader.vec(2);
    reader.vec(1);
    const extensions = reader.extensions();
    this.clientExtensions = extensions;
    this.clientParams = extensions.get(EXT_QUIC_PARAMS) ?? null;
    const alpn = new Reader(new Reader(extensions.get(EXT_ALPN) ?? Buffer.alloc(2)).vec(2));
    while (alpn.left > 0) this.clientAlpn.push(alpn.vec(1).toString());
    this.earlyOffered = extensions.has(EXT_EARLY_DATA);
    const psk = this.findPsk(extensions.get(EXT_PRE_SHARED_KEY));
    this.resumed = psk !== null;
    this.schedule = new Schedule(psk);
    this.schedule.add(whole);
    this.earlyAccepted = this.resumed && this.earlyOffered && this.options.acceptEarly === true;
    if (this.earlyAccepted || (this.resumed && this.options.peekEarly === true))
      this.sink.secret(EARLY, "read", this.schedule.earlySecret());
    this.answer(extensions);
  }

  private findPsk(extension: Buffer | undefined): Buffer | null {
    if (extension === undefined || this.options.tickets === undefined) return null;
    const identity = new Reader(new Reader(extension).vec(2)).vec(2);
    return this.options.tickets.get(identity.toString("hex")) ?? null;
  }

  private answer(client: Map<number, Buffer>): void {
    const { options, schedule } = this;
    const shares = new Reader(new Reader(client.get(EXT_KEY_SHARE) as Buffer).vec(2));
    const offered = new Map<number, Buffer>();
    while (shares.left > 0) offered.set(shares.int(2), shares.vec(2));
    const group = offered.has(GROUP_X25519) ? GROUP_X25519 : GROUP_P256;
    const own = newKeyShare(group);
    const list: Extension[] = [[EXT_KEY_SHARE, Buffer.concat([u16(group), vec(2, own.publicBytes)])]];
    if (options.version !== null) list.unshift([EXT_SUPPORTED_VERSIONS, u16(options.version ?? 0x0304)]);
    if (this.resumed) list.push([EXT_PRE_SHARED_KEY, u16(0)]);
    const suite = u16(AES_128_GCM_SHA256);
    const session = vec(1, this.clientSessionId);
    const hello = message(SERVER_HELLO, u16(0x0303), randomBytes(32), session, suite, u8(0), extensionList(list));
    this.emit(INITIAL, SERVER_HELLO, hello);
    schedule.onShared(own.shared(offered.get(group) as Buffer));
    const { client: read, server: write } = schedule.handshakeSecrets();
    this.clientSecret = read;
    this.serverSecret = write;
    this.sink.secret(HANDSHAKE, "write", write);
    this.sink.secret(HANDSHAKE, "read", read);
    this.sendFlight();
    const app = schedule.appSecrets();
    this.sink.secret(APP, "write", app.server);
    this.sink.secret(APP, "read", app.client);
  }

  private sendFlight(): void {
    const { options, schedule } = this;
    let list: Extension[] = [];
    const alpn = options.alpn === undefined ? (this.clientAlpn[0] ?? null) : options.alpn;
    if (alpn !== null) list.push([EXT_ALPN, vec(2, vec(1, Buffer.from(alpn)))]);
    list.push([EXT_QUIC_PARAMS, options.params()]);
    if (this.earlyAccepted) list.push([EXT_EARLY_DATA, Buffer.alloc(0)]);
    list = options.extensions?.(list) ?? list;
    this.emit(HANDSHAKE, ENCRYPTED_EXTENSIONS, message(ENCRYPTED_EXTENSIONS, extensionList(list)));
    if (options.requestCertificate === true) {
      this.emit(HANDSHAKE, CERTIFICATE_REQUEST, certificateRequest(Buffer.alloc(0)));
    }
    if (!this.resumed) this.emitCertificate("server", options.chain, Buffer.alloc(0));
    this.emit(HANDSHAKE, FINISHED, message(FINISHED, schedule.verifyData(this.serverSecret)));
  }

  private onFinished(whole: Buffer): void {
    const expected = this.schedule.verifyData(this.clientSecret);
    if (!whole.subarray(4).equals(expected)) throw new Error("the client's Finished is wrong");
    this.schedule.add(whole);
    this.resumption = this.schedule.resumptionSecret();
    this.done = true;
  }

  /** Sends a NewSessionTicket; `maxEarlyData` 0 leaves the extension out. */
  sendTicket(maxEarlyData = MAX_EARLY_DATA): void {
    const identity = randomBytes(32);
    const nonce = randomBytes(8);
    this.options.tickets?.set(identity.toString("hex"), ticketPsk(this.resumption, nonce));
    const list: Extension[] = maxEarlyData === 0 ? [] : [[EXT_EARLY_DATA, u32(maxEarlyData)]];
    const body = [u32(7200), randomBytes(4), vec(1, nonce), vec(2, identity), extensionList(list)];
    this.emit(APP, NEW_SESSION_TICKET, message(NEW_SESSION_TICKET, ...body));
  }
}

export function certificateRequest(context: Buffer): Buffer {
  const extensions = extensionList([[EXT_SIGNATURE_ALGORITHMS, vec(2, u16(ECDSA_P256_SHA256))]]);
  return message(CERTIFICATE_REQUEST, vec(1, context), extensions);
}
