/**
 * Many connections of one client, as cheap as we can make them: one socket, one TLS context, the engine without the API.
 * The server is what is measured.
 */

import { type Connection, EndpointHost, type HostOwner } from "#src/runtime/loop.js";
import { ADDR_COLS } from "#src/port/udp.js";
import type { TlsContext } from "#src/port/tls.js";
import { type CloseInfo, STREAM_UNI, type TransportHandler } from "#src/port/transport.js";
import { setAddressRow } from "#src/runtime/address.js";
import { chooseDatapath } from "#src/runtime/choose.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import type { Runtime } from "./bench.js";
import type { Target } from "./loopback.js";

const FEW_BYTES = new Uint8Array(32);

/** One connection; `opened` when the handshake is confirmed (RFC 9001 §4.1.2), `closed` when all is over. */
export class LoadConnection implements TransportHandler {
  readonly opened: Promise<void>;
  readonly closed: Promise<void>;
  ticket: Uint8Array | null = null;
  private settleOpened: { resolve(): void; reject(error: Error): void } | null = null;
  private settleClosed: (() => void) | null = null;

  constructor(readonly conn: Connection) {
    this.opened = new Promise((resolve, reject) => {
      this.settleOpened = { resolve, reject };
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => {
      this.settleClosed = resolve;
    });
  }

  get isResumed(): boolean {
    return this.conn.handshake?.resumed === true;
  }

  /** What it wrote before the handshake was taken in 0-RTT. */
  get isEarly(): boolean {
    return this.conn.handshake?.earlyDataAccepted === true;
  }

  /** A stream of a few bytes. */
  say(): void {
    const id = this.conn.open(STREAM_UNI);
    this.conn.write(id, FEW_BYTES, 0, FEW_BYTES.length, true);
  }

  close(): Promise<void> {
    this.conn.close("application", 0n, "");
    return this.closed;
  }

  onHandshakeConfirmed(): void {
    this.settleOpened?.resolve();
  }
  onTicket(bytes: Uint8Array): void {
    this.ticket = bytes;
  }
  onClosed(info: CloseInfo): void {
    this.settleOpened?.reject(new Error(`connection ended: ${info.type} ${info.code} ${info.reason}`));
    this.settleClosed?.();
  }
  onHandshake(): void {}
  onStream(): void {}
  onReadable(): void {}
  onWritable(): void {}
  onReset(): void {}
  onStopSending(): void {}
  onSendDone(): void {}
  onStreamClosed(): void {}
  onStreamsAvailable(): void {}
  onNewToken(): void {}
  onDatagram(): void {}
  onDatagramFate(): void {}
  onPathValidation(): void {}
  onKeylog(): void {}
}

export class LoadClient implements HostOwner {
  private readonly tls: TlsContext;
  private readonly remote = new Int32Array(ADDR_COLS);
  private host: EndpointHost | null = null;

  private constructor(
    target: Target,
    private readonly alpn: string,
  ) {
    const config = { alpn: [alpn], serverName: "localhost", verify: "strict" as const, ca: [target.ca] };
    this.tls = chooseTls(process.env).newClientContext({ ...config, earlyData: true });
    setAddressRow(this.remote, 0, "127.0.0.1", target.port);
  }

  static async open(target: Target, alpn: string): Promise<LoadClient> {
    const client = new LoadClient(target, alpn);
    const udp = { address: "127.0.0.1", port: 0 };
    client.host = await EndpointHost.open({ udp, datapath: chooseDatapath(process.env) }, client);
    return client;
  }

  get runtime(): Runtime {
    return { tls: chooseTls(process.env).name, udp: this.host?.socket.rung ?? "" };
  }

  /** Begins a connection; its handshake goes on. */
  connect(ticket: Uint8Array | null = null, isEarly = false): LoadConnection {
    const { tls, remote, alpn } = this;
    const host = this.host as EndpointHost;
    const options = { tls, remote, config: { maxIdleTimeoutMillis: 0 }, ...(isEarly && { earlyAlpn: alpn }) };
    const conn = host.endpoint.connect({ ...options, ...(ticket !== null && { ticket }) }, host.now());
    const load = new LoadConnection(conn);
    conn.owner = load;
    if (isEarly) load.say();
    host.flush();
    return load;
  }

  onAccept(): void {}
  onEvents(conn: Connection): void {
    conn.drain(conn.owner as LoadConnection);
  }
  onError(error: Error): void {
    throw error;
  }
}
