/** A transfer's link over a QuicSession, and the sentences for what can happen to one. */

import type { QuicSession, QuicStream } from "../../api/quic/index.js";
import { codeOf, Failure, messageOf } from "../failure.js";
import type { ByteSource, ControlStream, Link, LinkFacts, RangeSink } from "./link.js";
import { APP_FAILED } from "./protocol.js";

/** Reason phrases beyond this are cut, so that CONNECTION_CLOSE fits into one packet. */
const REASON_CHARS = 200;
/** A stream may fail a moment before the connection says why. */
const CAUSE_MILLIS = 250;

/** One write to the disk. */
const READ_CHUNK_BYTES = 128 * 1024;

/** Who is at the other end, for messages. */
export interface Peer {
  /** `127.0.0.1:4433` */
  address: string;
  timeoutSeconds: number;
}

/** What `error` of the API means to the person who started the transfer. */
export function networkFailure(error: unknown, peer: Peer): Failure {
  if (error instanceof Failure) return error;
  const { address, timeoutSeconds } = peer;
  const { remote, reason } = error as { remote?: unknown; reason?: unknown };
  const byPeer = remote === true;
  const make = (message: string) => new Failure(message, { byPeer, cause: error });
  switch (codeOf(error)) {
    case "ERR_QUIC_APPLICATION_ERROR":
      return make(`${address} gave up: ${typeof reason === "string" && reason !== "" ? reason : "it did not say why"}`);
    case "ERR_QUIC_IDLE_TIMEOUT":
      return new Failure(`nothing came from ${address} for ${timeoutSeconds} s: it was ended, or the network is down`, {
        byPeer: true,
        cause: error,
      });
    case "ERR_QUIC_HANDSHAKE_TIMEOUT":
      return make(`no answer from ${address} in ${timeoutSeconds} s: is the server running, and does UDP get there?`);
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return make(`cannot find an address for ${address}`);
    case "ENETUNREACH":
    case "EHOSTUNREACH":
      return make(`${address} cannot be reached from here`);
    default:
      return make(messageOf(error));
  }
}

/** The file's fault, not the network's. */
function isFileError(error: unknown): boolean {
  return codeOf(error) === "ERR_NETQUIC_FILE_TRUNCATED" || (error as { syscall?: unknown }).syscall === "read";
}

export class QuicLink implements Link {
  readonly closed: Promise<void>;
  private cipher = "";
  /** For the next streams: new ones for each would stay until the next collection. */
  private readonly chunks: Uint8Array[] = [];
  private readonly session: QuicSession;
  private readonly peer: Peer;
  private readonly uniWaiting: ByteSource[] = [];
  private uniHandler: ((source: ByteSource) => void) | null = null;
  private readonly peerControl: Promise<QuicStream>;
  private gotControl: (stream: QuicStream) => void = () => {};

  /** Make it before the first stream of the peer can come. */
  constructor(
    session: QuicSession,
    peer: Peer,
    private readonly isServer: boolean,
  ) {
    this.session = session;
    this.peer = peer;
    this.peerControl = new Promise((resolve) => {
      this.gotControl = resolve;
    });
    this.closed = session.closed.catch((error) => {
      throw networkFailure(error, peer);
    });
    this.closed.catch(() => {});
    session.opened.then(
      (info) => {
        this.cipher = info.cipher;
      },
      () => {}, // `closed` says why
    );
    session.onstream = (stream) => this.take(stream);
  }

  async control(): Promise<ControlStream> {
    const stream = this.isServer ? await this.peerControl : await this.open(true);
    return { sink: this.sinkOf(stream), source: this.sourceOf(stream) };
  }

  async openUni(): Promise<RangeSink> {
    return this.sinkOf(await this.open(false));
  }

  onUni(handler: (source: ByteSource) => void): void {
    this.uniHandler = handler;
    for (const source of this.uniWaiting.splice(0)) handler(source);
  }

  facts(): LinkFacts {
    const { minRttMicros, smoothedRttMicros, packetsSent, packetsLost } = this.session.ext.stats();
    const { tls, tlsVersion, datapath, udp } = this.session.ext.runtime;
    return {
      tls: tlsVersion.toLowerCase().includes(tls) ? tlsVersion : `${tls} ${tlsVersion}`,
      cipher: this.cipher,
      datapath: `${datapath} (${udp})`,
      minRttMicros,
      smoothedRttMicros,
      packetsSent,
      packetsLost,
    };
  }

  abort(reason: string): void {
    const error = new Failure(reason);
    this.session.destroy(error, { code: APP_FAILED, type: "application", reason: reason.slice(0, REASON_CHARS) });
  }

  async close(): Promise<void> {
    await this.session.close();
  }

  private async open(isBidi: boolean): Promise<QuicStream> {
    try {
      const options = { waitUntilAvailable: true };
      if (isBidi) return await this.session.createBidirectionalStream(options);
      return await this.session.createUnidirectionalStream(options);
    } catch (error) {
      throw await this.rootCause(error);
    }
  }

  private take(stream: QuicStream): void {
    if (stream.direction === "bidi") {
      this.gotControl(stream);
      return;
    }
    const source = this.sourceOf(stream);
    if (this.uniHandler === null) this.uniWaiting.push(source);
    else this.uniHandler(source);
  }

  private sinkOf(stream: QuicStream): RangeSink {
    const { writer } = stream;
    const orCause = async (work: Promise<unknown>): Promise<void> => {
      try {
        await work;
      } catch (error) {
        throw isFileError(error) ? error : await this.rootCause(error);
      }
    };
    return {
      write: (bytes) => orCause(writer.write(bytes)),
      writeFile: (file, offset, length) => orCause(stream.ext.sendFile(file, { offset, length })),
      end: () => orCause(writer.end()),
    };
  }

  private async *sourceOf(stream: QuicStream): AsyncGenerator<Uint8Array[]> {
    const chunk = this.chunks.pop() ?? Buffer.allocUnsafeSlow(READ_CHUNK_BYTES);
    try {
      for (;;) {
        const bytes = await this.readSome(stream, chunk);
        if (bytes === 0) return;
        yield [chunk.subarray(0, bytes)];
      }
    } catch (error) {
      throw await this.rootCause(error);
    } finally {
      this.chunks.push(chunk);
    }
  }

  /** Fills `chunk` with what is there, at least one byte; 0 at the end. */
  private async readSome(stream: QuicStream, chunk: Uint8Array): Promise<number> {
    let filled = (await stream.ext.read({ into: chunk }))?.length ?? 0;
    while (filled > 0 && filled < chunk.length && stream.ext.readableBytes > 0) {
      filled += (await stream.ext.read({ into: chunk.subarray(filled) }))?.length ?? 0;
    }
    return filled;
  }

  /** Why the connection ended when it did, else the stream's own error. */
  private async rootCause(error: unknown): Promise<Failure> {
    let timer: NodeJS.Timeout | undefined;
    const own = new Promise<Failure>((resolve) => {
      timer = setTimeout(() => resolve(networkFailure(error, this.peer)), CAUSE_MILLIS);
    });
    const early = () =>
      new Failure("the peer closed the connection before the transfer was complete", { byPeer: true });
    const cause = await Promise.race([own, this.closed.then(early, (failure: Failure) => failure)]);
    clearTimeout(timer);
    return cause;
  }
}
