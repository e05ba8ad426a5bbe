/**
 * A program's conversation with the host of its ports (`quic host`): it asks for ports and clients, makes its connection ids
 * by the route that it was given, and finds the host again when it went away.
 *
 * Invariants: its ids are of the route that it has now. What the host says is checked (messages.ts), and a host that says
 * something odd is left.
 */

import type { CidSource } from "../endpoint/ids.js";
import { HEADER_FORM_BIT } from "../packet/header.js";
import { RX_COLS, RX_OFF, type RxBatch, type UdpProvider } from "../port/udp.js";
import { BROKER_RECONNECT_MILLIS } from "../proto/limits.js";
import { systemClock } from "../runtime/clock.js";
import { newNativeTimer } from "../runtime/native/timer.js";
import type { MemoryLevel, MemoryLimits } from "../runtime/memory-level.js";
import { closeFd, connectUnix, type UnixSocket } from "../runtime/native/unix-socket.js";
import { systemRandom } from "../runtime/random.js";
import { bindOf, Packer } from "./datagrams.js";
import { HostUdpSocket, type HostLink } from "./host-socket.js";
import { SOCKET_LIMITS } from "./link-limits.js";
import { BROKER_VERSION, encode, type Place, readReply, type Reply, type Request, type Wanted } from "./messages.js";
import { type Route, RouteIds } from "./route-ids.js";

interface Waiting {
  resolve(reply: Reply, fds: readonly number[]): void;
  reject(error: Error): void;
}

interface Listening {
  readonly id: number;
  readonly bind: number;
  readonly wanted: Wanted;
}

/** Who accounts for this program's memory. */
export interface MemoryOwner {
  /** The host knows the program: what it may hold, and that is to be told anew. */
  onWelcome(client: HostClient, limits: MemoryLimits | null): void;
  onLevel(client: HostClient, level: MemoryLevel): void;
  onClosed(client: HostClient): void;
}

export class HostClient implements HostLink {
  current: HostUdpSocket | null = null;
  answerId: Uint8Array | null = null;
  private socket: UnixSocket | null = null;
  private route: Route | null = null;
  private ids: RouteIds | null = null;
  private trusted = false;
  private readonly sockets = new Map<number, HostUdpSocket>();
  private readonly listens = new Map<number, Listening>();
  /** Sockets of the groups that it keeps for a host that restarts, by group, then by number. */
  private readonly kept = new Map<string, { place: Place; fds: Map<number, number> }>();
  private readonly waiting = new Map<number, Waiting>();
  private welcome: Waiting | null = null;
  /** Binds that wait for their answer: whose sockets they keep is not known yet. */
  private binding = 0;
  private nextId = 1;
  private closed = false;
  private reconnectTimer: NodeJS.Timeout | null = null;
  private readonly packer = new Packer();

  /** Rejects with the system's error, or with EACCES and the host's reason. */
  static async connect(path: string, memory: MemoryOwner | null = null): Promise<HostClient> {
    const client = new HostClient(path, memory);
    await client.open();
    return client;
  }

  private constructor(
    readonly path: string,
    private readonly memory: MemoryOwner | null,
  ) {}

  /** Makes ids that the host leads here. */
  readonly cids: CidSource = {
    fill: (cid) => this.makeId(cid),
    isOurs: (rx, row) => this.isOurs(rx, row),
  };

  /** UDP sockets that are ports of the host. */
  readonly provider: UdpProvider = {
    name: "native",
    open: ({ address, port, ipv6Only }, handler) => {
      const socket = new HostUdpSocket(this.nextId++, this, handler, { address, port, ipv6Only: ipv6Only === true });
      return this.bindSocket(socket, -1);
    },
    newTimer: newNativeTimer,
  };

  get isTrusted(): boolean {
    return this.trusted;
  }

  /**
   * Wants clients at the place of `socket`. The number to give them back by. Rejects with EADDRINUSE when another program has
   * one of the names, with EACCES when the host does not allow it.
   */
  async listen(socket: HostUdpSocket, wanted: Wanted): Promise<number> {
    const listening = { id: this.nextId++, bind: socket.bind, wanted };
    this.listens.set(listening.id, listening);
    try {
      await this.register(listening);
      return listening.id;
    } catch (error) {
      this.listens.delete(listening.id);
      throw error;
    }
  }

  /** Tells the host what the queues of this program's connections hold. */
  reportHeld(bytes: number): void {
    this.send({ op: "held", bytes });
  }

  unlisten(id: number): void {
    if (this.listens.delete(id)) this.send({ op: "unlisten", id });
  }

  /** Gives everything back. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    if (this.reconnectTimer !== null) clearTimeout(this.reconnectTimer);
    this.socket?.close();
    this.forgetKept();
    for (const socket of [...this.sockets.values()]) socket.close();
    this.failWaiting(gone());
    this.memory?.onClosed(this);
  }

  // --- HostLink --------------------------------------------------------------------------------------------------------

  unbind(socket: HostUdpSocket): void {
    if (!this.sockets.delete(socket.bind)) return;
    for (const [id, { bind }] of this.listens) if (bind === socket.bind) this.listens.delete(id);
    this.send({ op: "unbind", id: socket.bind });
    if (this.sockets.size === 0) this.close();
    else this.dropKept();
  }

  onKept(): void {
    // who waits for an answer waits for the host
    const isKept = this.waiting.size > 0 || [...this.sockets.values()].some(({ kept }) => kept);
    if (isKept) this.socket?.ref();
    else this.socket?.unref();
  }

  // --- the conversation ------------------------------------------------------------------------------------------------

  private async open(): Promise<void> {
    const socket = connectUnix(this.path, SOCKET_LIMITS);
    this.socket = socket;
    socket.start({
      onMessage: (bytes, fds) => this.onMessage(bytes, fds),
      onClosed: () => this.onGone(),
    });
    await new Promise<void>((resolve, reject) => {
      this.welcome = { resolve: () => resolve(), reject };
      this.send({ op: "hello", version: BROKER_VERSION, resume: this.route });
    });
  }

  private onMessage(bytes: Uint8Array, fds: readonly number[]): void {
    const bind = bindOf(bytes);
    if (bind >= 0 && fds.length === 0) {
      this.sockets.get(bind)?.push(bytes.slice());
      return;
    }
    const reply = readReply(bytes, fds.length);
    if (reply === null) {
      for (const fd of fds) closeFd(fd);
      this.socket?.close();
      this.onGone();
      return;
    }
    this.onReply(reply, fds);
  }

  private onReply(reply: Reply, fds: readonly number[]): void {
    switch (reply.op) {
      case "welcome":
        this.trusted = reply.trusted;
        this.route = reply.route;
        this.ids = new RouteIds(reply.route);
        this.memory?.onWelcome(this, reply.limits);
        this.welcome?.resolve(reply, fds);
        this.welcome = null;
        break;
      case "refused":
        this.welcome?.reject(hostError(reply.code, reply.message));
        this.welcome = null;
        break;
      case "memory":
        this.memory?.onLevel(this, reply.level);
        break;
      case "keep":
        this.keep(reply.group, reply.index, fds[0] as number);
        break;
      default: {
        const waiting = this.waiting.get(reply.id);
        this.waiting.delete(reply.id);
        this.onKept();
        if (waiting !== undefined) waiting.resolve(reply, fds);
        else for (const fd of fds) closeFd(fd);
      }
    }
  }

  /** The reply to a request with a number. Rejects for a failure, and when the host goes away. */
  private ask(request: Request & { id: number }): Promise<{ reply: Reply; fds: readonly number[] }> {
    return new Promise((resolve, reject) => {
      this.waiting.set(request.id, {
        resolve: (reply, fds) => {
          if (reply.op === "done" && reply.code !== "") reject(hostError(reply.code, reply.message));
          else resolve({ reply, fds });
        },
        reject,
      });
      this.onKept();
      if (!this.send(request)) {
        this.waiting.delete(request.id);
        reject(gone());
      }
    });
  }

  private send(request: Request, fds: readonly number[] = []): boolean {
    return this.socket?.send(encode(request), fds) ?? false;
  }

  private async bindSocket(socket: HostUdpSocket, index: number): Promise<HostUdpSocket> {
    this.binding++;
    try {
      return await this.askBind(socket, index);
    } finally {
      this.binding--;
      this.dropKept();
    }
  }

  private async askBind(socket: HostUdpSocket, index: number): Promise<HostUdpSocket> {
    const { reply, fds } = await this.ask({ op: "bind", id: socket.bind, place: socket.place, index });
    if (reply.op !== "bound") throw gone();
    if (socket.isClosed) {
      for (const fd of fds) closeFd(fd);
      return socket;
    }
    if (fds.length > 0) socket.attach(fds, reply.place, reply.group, reply.index);
    this.sockets.set(socket.bind, socket);
    this.onKept();
    return socket;
  }

  private async register({ id, bind, wanted }: Listening): Promise<void> {
    await this.ask({ op: "listen", id, bind, wanted });
  }

  // --- a host that went away -------------------------------------------------------------------------------------------

  private onGone(): void {
    if (this.closed) return;
    this.socket = null;
    this.memory?.onLevel(this, "ok");
    this.failWaiting(gone());
    // others keep nothing for it: it cannot go on, and a socket that nobody steers would be in the way of the next host
    if (!this.trusted) for (const socket of this.sockets.values()) socket.detach();
    if (this.sockets.size > 0) this.reconnectLater();
  }

  private reconnectLater(): void {
    if (this.closed || this.reconnectTimer !== null) return;
    this.reconnectTimer = setTimeout(() => {
      this.reconnectTimer = null;
      void this.reconnect();
    }, BROKER_RECONNECT_MILLIS);
    this.reconnectTimer.unref();
  }

  private async reconnect(): Promise<void> {
    const before = this.route;
    try {
      await this.open();
      const isSame = before?.route === this.route?.route && before?.generation === this.route?.generation;
      if (isSame) for (const { place, fds } of this.kept.values()) this.giveKept(place, fds);
      else this.beginAnew();
      for (const socket of this.sockets.values()) {
        await this.bindSocket(socket, isSame && this.trusted ? socket.index : -1);
      }
      for (const listening of this.listens.values()) await this.register(listening);
    } catch {
      this.socket?.close();
      this.onGone();
    }
  }

  /** The host knows nothing of what was: sockets of then would be members of its groups, where it does not count them. */
  private beginAnew(): void {
    this.forgetKept();
    for (const socket of this.sockets.values()) socket.detach();
  }

  /** Descriptors of a group, those of its own sockets among them. */
  private giveKept(place: Place, fds: ReadonlyMap<number, number>): void {
    const all = new Map(fds);
    for (const { group, index, descriptor } of this.sockets.values()) {
      if (group !== null && keyOf(group) === keyOf(place) && descriptor >= 0) all.set(index, descriptor);
    }
    this.send({ op: "kept", place, indexes: [...all.keys()] }, [...all.values()]);
  }

  private keep(place: Place, index: number, fd: number): void {
    const key = keyOf(place);
    let group = this.kept.get(key);
    if (group === undefined) this.kept.set(key, (group = { place, fds: new Map() }));
    const known = group.fds.get(index);
    if (known !== undefined) closeFd(known);
    group.fds.set(index, fd);
    this.dropKept();
  }

  /** Those of ports that it has left: the host may have closed them, and its next socket there has to be the first. */
  private dropKept(): void {
    if (this.binding > 0) return;
    const own = new Set<string>();
    for (const { group } of this.sockets.values()) if (group !== null) own.add(keyOf(group));
    for (const [key, { fds }] of this.kept) {
      if (own.has(key)) continue;
      for (const fd of fds.values()) closeFd(fd);
      this.kept.delete(key);
    }
  }

  private forgetKept(): void {
    for (const { fds } of this.kept.values()) for (const fd of fds.values()) closeFd(fd);
    this.kept.clear();
  }

  private failWaiting(error: Error): void {
    this.welcome?.reject(error);
    this.welcome = null;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  // --- ids, and packets of others -------------------------------------------------------------------------------------------------

  /** The host's for the answer to a first flight, once, unless it is of a route of before. */
  private makeId(cid: Uint8Array): void {
    const { answerId } = this;
    const ids = this.ids as RouteIds;
    this.answerId = null;
    if (answerId?.length === cid.length && ids.made(answerId, 0)) cid.set(answerId);
    else ids.make(cid, systemRandom);
  }

  /** The kernel gives a whole train to one socket; what is another program's goes back, and the host knows whose it is. */
  private isOurs(rx: RxBatch, row: number): boolean {
    const off = rx.rows[row * RX_COLS + RX_OFF];
    const isLong = (rx.buf[off] & HEADER_FORM_BIT) !== 0;
    // what the host says is ours is; a long header in the member came in a train behind one of our short ones
    if (isLong ? this.current?.direct !== true : (this.ids as RouteIds).made(rx.buf, off + 1)) return true;
    if (!this.trusted || this.current === null) return false;
    const nowMicros = systemClock.nowMicros();
    if (this.packer.isEmpty) queueMicrotask(() => this.sendStrays());
    if (this.packer.addRow(rx, row, nowMicros)) return false;
    this.sendStrays();
    this.packer.addRow(rx, row, nowMicros);
    return false;
  }

  private sendStrays(): void {
    if (this.packer.isEmpty || this.current === null) return;
    const message = this.packer.take(this.current.bind, null);
    // not more than fits: a flood of made-up ids must not fill the queue to the host
    if (this.socket?.queuedBytes === 0) this.socket.send(message);
  }
}

function keyOf({ address, port, ipv6Only }: Place): string {
  return `${address} ${port} ${ipv6Only}`;
}

function hostError(code: string, message: string): Error {
  const text = message.startsWith(code) ? message : `${code}: ${message}`;
  return Object.assign(new Error(`quic host: ${text}`), { code });
}

function gone(): Error {
  return hostError("ECONNRESET", "the host went away");
}
