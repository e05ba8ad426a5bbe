/**
 * A UDP socket with the ULP `quic-crypto`: 1-RTT packets go in as plaintext and leave protected. Handshake, loss recovery,
 * migration and key updates stay with the caller, who lays out the packets; the socket slices, completes packet numbers,
 * protects, masks and sends them in one batch, and opens what arrives for its receive flows.
 *
 * Invariant: with the ULP attached, a short header packet leaves protected, or by the bypass flag, or not at all.
 */

import type { AeadPort } from "../../port/aead.js";
import type { UdpHandler, UdpOptions, UdpProvider, UdpSocket } from "../../port/udp.js";
import { RX_BATCHES_PER_TURN } from "../../proto/limits.js";
import { isMappedIpv4 } from "../../runtime/address.js";
import { MAX_UDP_PAYLOAD_IPV4, MAX_UDP_PAYLOAD_IPV6, MAX_ULP_NAME_BYTES, QUIC_CRYPTO } from "./constants.js";
import type { QuicStat } from "./counters.js";
import { type OffloadCall, OffloadError } from "./error.js";
import { checkFlow, checkKey, setPeer } from "./flow-info.js";
import type { FlowToDelete, RxFlow, RxFlowToDelete, TxFlow } from "./flow-info.js";
import { FlowTable } from "./flow-table.js";
import type { KeyRing } from "./key-ring.js";
import { type ReceivedPacket, Receiver } from "./receive.js";
import { Cork, checkAncillary, checkGsoSize, checkOptions, checkPieces, type SendOptions } from "./send-options.js";
import { isShortHeader, type Message, packetsOf, Transmitter } from "./transmit.js";

export interface OpenOptions extends Partial<UdpOptions> {
  /** Gets what arrives, in batches; without it datagrams are read and dropped. */
  onreceive?: (packets: ReceivedPacket[]) => void;
  /** Told when the socket failed and is closed; without it the error is thrown. */
  onerror?: (error: Error) => void;
}

/** What the sockets of one process share. */
export interface OffloadCore {
  readonly udp: UdpProvider;
  readonly aead: AeadPort;
  readonly keys: KeyRing;
  readonly stat: QuicStat;
}

export class OffloadSocket {
  private segmentBytes = 0;
  private readonly core: OffloadCore;
  private readonly options: OpenOptions;
  private readonly txFlows: FlowTable;
  private readonly rxFlows: FlowTable;
  private readonly transmitter: Transmitter;
  private readonly receiver: Receiver;
  private readonly cork = new Cork();
  private udp: UdpSocket | null = null;
  private ulpName: "" | typeof QUIC_CRYPTO = "";
  private blocked = false;
  private waiters: { resolve: () => void; reject: (error: Error) => void }[] = [];

  private constructor(core: OffloadCore, options: OpenOptions) {
    this.core = core;
    this.options = options;
    this.txFlows = new FlowTable(core.aead, core.keys);
    this.rxFlows = new FlowTable(core.aead, core.keys);
    this.transmitter = new Transmitter(core.aead, this.txFlows);
    this.receiver = new Receiver(core.aead, this.rxFlows);
  }

  /** For `openSocket` and tests. */
  static async open(core: OffloadCore, options: OpenOptions): Promise<OffloadSocket> {
    const { onreceive: _onreceive, onerror: _onerror, ...own } = options;
    const socket = new OffloadSocket(core, options);
    const handler: UdpHandler = {
      onReadable: () => socket.onReadable(),
      onWritable: () => socket.onWritable(),
      onError: (error) => socket.onError(error),
    };
    socket.udp = await core.udp.open({ address: "0.0.0.0", port: 0, ...own }, handler);
    return socket;
  }

  /** The address that the socket is bound to. */
  get address(): string {
    return this.live("getsockopt").address;
  }

  get port(): number {
    return this.live("getsockopt").port;
  }

  /** The ULP attached, `""` for none. */
  get ulp(): "" | typeof QUIC_CRYPTO {
    this.live("getsockopt");
    return this.ulpName;
  }

  /** `UDP_SEGMENT` of the socket: bytes of each datagram but the last; 0 = one datagram a send. `send` may override it. */
  get gsoSize(): number {
    return this.segmentBytes;
  }

  /** @throws OffloadError `EINVAL` for what is no integer of 0 to 65,535. */
  set gsoSize(value: number) {
    this.live("setsockopt");
    this.segmentBytes = checkGsoSize(value, "setsockopt");
  }

  /**
   * Attaches a ULP by its name, of which there is one, `quic-crypto`: flows may be added from then on.
   *
   * @throws OffloadError `EINVAL` for a name of more than 16 bytes, `ENOENT` for an unknown one, `EEXIST` the second time,
   *   `EFAULT` for what is no string.
   */
  attach(ulp: string): void {
    this.live("setsockopt");
    if (typeof ulp !== "string") throw new OffloadError("EFAULT", "setsockopt", "the name of a ULP is a string");
    if (Buffer.byteLength(ulp) > MAX_ULP_NAME_BYTES) {
      throw new OffloadError("EINVAL", "setsockopt", `the name of a ULP has at most ${MAX_ULP_NAME_BYTES} bytes`);
    }
    if (ulp !== QUIC_CRYPTO) throw new OffloadError("ENOENT", "setsockopt", `no ULP ${JSON.stringify(ulp)}`);
    if (this.ulpName !== "") throw new OffloadError("EEXIST", "setsockopt", `${this.ulpName} is attached`);
    this.ulpName = ulp;
  }

  /**
   * Adds a flow to send, or one more key phase to a flow that is there. The key bytes are not kept.
   *
   * @throws OffloadError `ENOPROTOOPT` before `attach`, `EFAULT` for what is no object or no bytes, `EINVAL` for a wrong
   *   length or value, `EEXIST` for a flow that has a key of this phase, `ENOENT` for a cipher that is not there.
   */
  addTxFlow(flow: TxFlow): void {
    this.attached();
    const { stat } = this.core;
    if (this.txFlows.add(checkFlow(flow, false), -1) === null) return;
    stat.QuicCurrTxSw++;
    stat.QuicTxSw++;
  }

  /**
   * Deletes a flow, or its keys of one phase.
   *
   * @throws OffloadError `EINVAL` for a flow or phase that is not there, else as `addTxFlow`.
   */
  deleteTxFlow(flow: FlowToDelete): void {
    this.attached();
    if (this.txFlows.delete(checkKey(flow, false))) this.core.stat.QuicCurrTxSw--;
  }

  /** Adds a flow to receive; errors as `addTxFlow`. Its packets are opened before `onreceive` gets them. */
  addRxFlow(flow: RxFlow): void {
    this.attached();
    const { stat } = this.core;
    const checked = checkFlow(flow, true);
    const next = flow.nextPacketNumber ?? 0;
    if (!(Number.isSafeInteger(next) && next >= 0)) {
      throw new OffloadError("EINVAL", "setsockopt", `nextPacketNumber ${String(next)}, not 0 to 2^53-1`);
    }
    if (this.rxFlows.add(checked, next - 1) === null) return;
    stat.QuicCurrRxSw++;
    stat.QuicRxSw++;
  }

  /** Deletes a flow to receive, or its keys of one phase; errors as `deleteTxFlow`. */
  deleteRxFlow(flow: RxFlowToDelete): void {
    this.attached();
    if (this.rxFlows.delete(checkKey(flow, true))) this.core.stat.QuicCurrRxSw--;
  }

  /**
   * Sends one message, given whole or in pieces. A batch of short header packets (first byte `01xxxxxx`) lies at a stride
   * of `gsoSize` - 16 and is protected packet by packet, or refused as a whole; anything else, and anything before
   * `attach`, is an ordinary UDP send. Returns the bytes accepted, which the caller may reuse.
   *
   * @throws OffloadError `EAGAIN` while the socket is full (see `writable`), `EFAULT` for what is no bytes, `EINVAL` for a
   *   wrong option, a packet without a flow or key, or a packet number already used, `ENOMEM` beyond a cap, `EMSGSIZE`
   *   for more than a UDP payload, `EAFNOSUPPORT` for an IPv6 peer of an IPv4 socket. A refused batch used no number.
   */
  send(data: Uint8Array | readonly Uint8Array[], options: SendOptions): number {
    const udp = this.live("sendmsg");
    const pieces = checkPieces(data);
    checkOptions(options);
    const { dest } = this.transmitter;
    setPeer(dest, options.address, options.port, "sendmsg");
    const isIpv4 = isMappedIpv4(dest, 0);
    if (udp.family === "IPv4" && !isIpv4) {
      throw new OffloadError("EAFNOSUPPORT", "sendmsg", `${options.address} from an IPv4 socket`);
    }
    const gsoSize = checkGsoSize(options.gsoSize ?? this.segmentBytes, "sendmsg");
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const maxPayloadBytes = isIpv4 ? MAX_UDP_PAYLOAD_IPV4 : MAX_UDP_PAYLOAD_IPV6;
    const message: Message = { pieces, bytes, gsoSize, maxPayloadBytes };
    if (this.ulpName === "") checkAncillary(options, false);
    else if (isShortHeader(message)) return this.sendShort(udp, message, options);
    return this.sendOrdinary(udp, message, options.more === true);
  }

  /** Resolves when `send` takes batches again; at once unless it said `EAGAIN`. Rejects when the socket closes. */
  async writable(): Promise<void> {
    this.live("sendmsg");
    if (!this.blocked) return;
    await new Promise<void>((resolve, reject) => this.waiters.push({ resolve, reject }));
  }

  /** Keeps the process alive, which an open socket does. */
  ref(): void {
    this.live("setsockopt").ref();
  }

  unref(): void {
    this.live("setsockopt").unref();
  }

  /** Closes the socket; its flows go with it. May be called twice. */
  close(): void {
    const { udp, core } = this;
    if (udp === null) return;
    this.udp = null;
    udp.close();
    core.stat.QuicCurrTxSw -= this.txFlows.count;
    core.stat.QuicCurrRxSw -= this.rxFlows.count;
    this.txFlows.clear();
    this.rxFlows.clear();
    this.cork.discard();
    for (const waiter of this.waiters.splice(0)) waiter.reject(closed("sendmsg"));
  }

  private sendShort(udp: UdpSocket, message: Message, options: SendOptions): number {
    const { stat } = this.core;
    try {
      if (options.more === true || this.cork.isPending) {
        throw new OffloadError("EINVAL", "sendmsg", "a protected batch is one message: no `more`, nothing pending");
      }
      const ancillary = checkAncillary(options, true);
      this.checkRoom();
      this.blocked = !(ancillary === null
        ? this.transmitter.sendPlain(udp, message)
        : this.transmitter.sendProtected(udp, message, ancillary.nextPn, ancillary.cidLength));
    } catch (error) {
      if (error instanceof OffloadError && error.code !== "EAGAIN") stat.QuicTxSwError += packetsOf(message);
      throw error;
    }
    return message.bytes;
  }

  /** A plain UDP send; with `more` it waits, and goes out with the next one in one message to the first one's peer. */
  private sendOrdinary(udp: UdpSocket, message: Message, more: boolean): number {
    const { transmitter, cork } = this;
    if (more) {
      cork.add(message, transmitter.dest);
      return message.bytes;
    }
    this.checkRoom();
    let whole = message;
    if (cork.isPending) {
      cork.add(message, transmitter.dest);
      whole = cork.take();
      transmitter.dest.set(cork.dest);
      // it began before `attach`, or with a single byte, and turned out to be what must not leave like this
      if (this.ulpName !== "" && isShortHeader(whole)) {
        throw new OffloadError("EINVAL", "sendmsg", "the pending message is a short header packet; it was discarded");
      }
    }
    this.blocked = !transmitter.sendPlain(udp, whole);
    return message.bytes;
  }

  private checkRoom(): void {
    if (this.blocked) throw new OffloadError("EAGAIN", "sendmsg", "the socket is full; wait for `writable()`");
  }

  private live(call: OffloadCall): UdpSocket {
    if (this.udp === null) throw closed(call);
    return this.udp;
  }

  private attached(): void {
    this.live("setsockopt");
    if (this.ulpName === "") throw new OffloadError("ENOPROTOOPT", "setsockopt", "attach quic-crypto first");
  }

  private onReadable(): void {
    const { receiver, core, options } = this;
    const onFailed = (packets: number): void => {
      core.stat.QuicRxSwError += packets;
    };
    for (let i = 0; i < RX_BATCHES_PER_TURN && this.udp !== null; i++) {
      const packets = receiver.receive(this.udp, onFailed);
      if (packets.length === 0) return;
      options.onreceive?.(packets);
    }
  }

  private onWritable(): void {
    this.blocked = false;
    for (const waiter of this.waiters.splice(0)) waiter.resolve();
  }

  private onError(error: Error): void {
    this.close();
    if (this.options.onerror === undefined) throw error;
    this.options.onerror(error);
  }
}

function closed(call: OffloadCall): OffloadError {
  return new OffloadError("EBADF", call, "the socket is closed");
}
