/**
 * One program that is connected to the host: what it asked for, and the datagrams that are on their way to it.
 *
 * Invariant: nothing of it outlives its connection. What waits for it is bounded: datagrams are dropped beyond
 * MAX_BROKER_DATAGRAMS_QUEUED_BYTES as by a full socket, and a program that reads nothing is detached.
 */

import type { HeldDatagram } from "../endpoint/attempt.js";
import type { RxBatch } from "../port/udp.js";
import {
  BROKER_HELLO_MILLIS,
  MAX_BROKER_BINDS,
  MAX_BROKER_DATAGRAMS_QUEUED_BYTES,
  MAX_BROKER_LISTENS,
} from "../proto/limits.js";
import type { MemoryLimits } from "../runtime/memory-level.js";
import { openSenders } from "../runtime/native/udp-member.js";
import { closeFd, type UnixPeer, type UnixSocket } from "../runtime/native/unix-socket.js";
import { type AttemptFacts, bindOf, Packer } from "./datagrams.js";
import type { Front, Recipient } from "./front.js";
import type { Group, MemberHolder, SharedSocket } from "./group.js";
import {
  BROKER_VERSION,
  encode,
  type Place,
  type Reply,
  readRequest,
  type Request,
  systemCode,
  type Wanted,
} from "./messages.js";
import { coversPlace, type Registration } from "./registry.js";
import { type Route, RouteIds } from "./route-ids.js";

/** What a program needs of the host. Failures are errors with the system's `code`. */
export interface ProgramHost {
  /** Whether the peer may have a route at all. */
  admits(peer: UnixPeer): { admitted: boolean; trusted: boolean };
  /** Its old route, or a new one. */
  welcome(program: HostedProgram, resume: Route | null): Promise<Route>;
  adopt(place: Place, fds: ReadonlyMap<number, number>): Promise<void>;
  groupFor(program: HostedProgram, place: Place): Promise<Group>;
  register(program: HostedProgram, place: Place, wanted: Wanted): Registration<HostedProgram>;
  unregister(registration: Registration<HostedProgram>): void;
  /** The program has a member of the group: others keep it, and it keeps theirs. */
  onMember(program: HostedProgram, group: Group, socket: SharedSocket, isNew: boolean): void;
  onUnbound(group: Group): void;
  /** Datagrams in `message`, which the program got and which are not its own. */
  redeliver(front: Front, message: Uint8Array): void;
  needsFlush(program: HostedProgram): void;
  /** Of the operator, for each program. */
  readonly limits: MemoryLimits | null;
  onHeld(program: HostedProgram, bytes: number): void;
  onGone(program: HostedProgram): void;
}

export interface Bind {
  readonly place: Place;
  readonly group: Group;
  /** Null for a program of another user, which gets no member. */
  readonly socket: SharedSocket | null;
}

interface Listen {
  readonly bind: number;
  readonly registration: Registration<HostedProgram>;
}

/** Requests that may wait for those before them. */
const MAX_PENDING_REQUESTS = 64;

export class HostedProgram implements Recipient, MemberHolder {
  readonly peer: UnixPeer;
  readonly trusted: boolean;
  /** Told when it has said who it is: what was not read of it would turn the answer into ECONNRESET. */
  readonly admitted: boolean;
  readonly binds = new Map<number, Bind>();
  readonly listens = new Map<number, Listen>();
  dropped = 0;
  private given: Route | null = null;
  private routeIds: RouteIds | null = null;
  private readonly bindByFront = new Map<Front, number>();
  private packer: Packer | null = null;
  private packedBind = 0;
  private pending = 0;
  private work: Promise<void> = Promise.resolve();
  private readonly helloTimer: NodeJS.Timeout;
  private seenSent = 0;

  constructor(
    private readonly host: ProgramHost,
    private readonly socket: UnixSocket,
  ) {
    this.peer = socket.peer;
    const { admitted, trusted } = host.admits(this.peer);
    this.trusted = trusted;
    this.admitted = admitted;
    this.helloTimer = setTimeout(() => this.detach(), BROKER_HELLO_MILLIS);
    this.helloTimer.unref();
    socket.start({
      onMessage: (bytes, fds) => this.onMessage(bytes, fds),
      onClosed: () => this.gone(),
    });
  }

  get isOpen(): boolean {
    return this.socket.isOpen;
  }

  get uid(): number {
    return this.peer.uid;
  }

  /** 0 before it was welcome. */
  get route(): number {
    return this.given?.route ?? 0;
  }

  get ids(): RouteIds {
    return this.routeIds as RouteIds;
  }

  get queuedBytes(): number {
    return this.socket.queuedBytes;
  }

  send(reply: Reply, fds: readonly number[] = []): void {
    this.socket.send(encode(reply), fds);
  }

  /** Ends it now: as if it had died. */
  detach(): void {
    this.socket.close();
    this.gone();
  }

  /** Called each second: whether it took anything of what waits since the last call. */
  isStuck(): boolean {
    const { sentCount, queuedBytes } = this.socket;
    const isStuck = queuedBytes > 0 && sentCount === this.seenSent;
    this.seenSent = sentCount;
    return isStuck;
  }

  // --- datagrams -------------------------------------------------------------------------------------------------------

  deliver(front: Front, rx: RxBatch, row: number, nowMicros: number): void {
    const bind = this.bindFor(front);
    if (bind === undefined || this.socket.queuedBytes > MAX_BROKER_DATAGRAMS_QUEUED_BYTES) {
      this.dropped++;
      return;
    }
    if (bind !== this.packedBind) this.flush();
    this.packedBind = bind;
    const packer = (this.packer ??= new Packer());
    if (packer.isEmpty) this.host.needsFlush(this);
    if (packer.addRow(rx, row, nowMicros)) return;
    this.flush();
    this.host.needsFlush(this);
    if (!packer.addRow(rx, row, nowMicros)) this.dropped++;
  }

  /** Its bind of the port of `front`, else one on all addresses: another program may have opened the port for one address. */
  private bindFor(front: Front): number | undefined {
    const known = this.bindByFront.get(front);
    if (known !== undefined || front.place === null) return known;
    for (const [id, { place }] of this.binds) {
      if (!coversPlace(place, front.place)) continue;
      this.bindByFront.set(front, id);
      return id;
    }
    return undefined;
  }

  /** A second address of one port: packets of both come through the first. */
  private orderBinds(): void {
    this.bindByFront.clear();
    for (const [id, { group }] of this.binds) {
      if (!this.bindByFront.has(group.front)) this.bindByFront.set(group.front, id);
    }
  }

  /** Sends what `deliver` collected. */
  flush(): void {
    if (this.packer === null || this.packer.isEmpty) return;
    this.socket.send(this.packer.take(this.packedBind, null));
  }

  handOver(front: Front, facts: AttemptFacts, addr: Int32Array, datagrams: readonly HeldDatagram[]): void {
    const bind = this.bindFor(front);
    if (bind === undefined || this.socket.queuedBytes > MAX_BROKER_DATAGRAMS_QUEUED_BYTES) {
      this.dropped += datagrams.length;
      return;
    }
    this.flush();
    const packer = (this.packer ??= new Packer());
    for (const datagram of datagrams) if (!packer.add(addr, datagram)) this.dropped++;
    if (!packer.isEmpty) this.socket.send(packer.take(bind, facts));
  }

  // --- requests ----------------------------------------------------------------------------------------------------------

  private onMessage(bytes: Uint8Array, fds: readonly number[]): void {
    const bind = bindOf(bytes);
    if (bind >= 0 && fds.length === 0) {
      const front = this.binds.get(bind)?.group.front;
      if (front === undefined || !this.trusted) this.detach();
      else this.host.redeliver(front, bytes);
      return;
    }
    const request = readRequest(bytes, fds.length);
    const isInOrder = request !== null && (request.op === "hello") === (this.given === null && this.pending === 0);
    if (!isInOrder || this.pending >= MAX_PENDING_REQUESTS || (request.op === "kept" && !this.trusted)) {
      for (const fd of fds) closeFd(fd);
      this.detach();
      return;
    }
    this.pending++;
    this.work = this.work.then(async () => {
      try {
        if (this.isOpen) await this.answer(request, fds);
        else for (const fd of fds) closeFd(fd);
      } catch (error) {
        this.fail(request, error as Error & { code?: string });
      }
      this.pending--;
    });
  }

  private async answer(request: Request, fds: readonly number[]): Promise<void> {
    switch (request.op) {
      case "hello":
        await this.hello(request.version, request.resume);
        break;
      case "kept":
        await this.host.adopt(request.place, new Map(request.indexes.map((index, i) => [index, fds[i] as number])));
        break;
      case "bind":
        await this.bind(request.id, request.place, request.index);
        break;
      case "listen":
        this.listen(request.id, request.bind, request.wanted);
        break;
      case "held":
        this.host.onHeld(this, request.bytes);
        break;
      case "unbind":
        this.unbind(request.id);
        this.done(request.id);
        break;
      case "unlisten":
        this.unlisten(request.id);
        this.done(request.id);
        break;
    }
  }

  private async hello(version: number, resume: Route | null): Promise<void> {
    clearTimeout(this.helloTimer);
    if (!this.admitted) {
      this.refuse("EACCES", `user ${this.peer.uid} may not use this host`);
      return;
    }
    if (version !== BROKER_VERSION) {
      this.refuse("EPROTO", `this host speaks version ${BROKER_VERSION}, the program ${version}`);
      return;
    }
    const route = await this.host.welcome(this, resume);
    this.given = route;
    this.routeIds = new RouteIds(route);
    if (this.isOpen) this.send({ op: "welcome", route, trusted: this.trusted, limits: this.host.limits });
    else this.host.onGone(this);
  }

  private async bind(id: number, place: Place, index: number): Promise<void> {
    if (this.binds.has(id)) throw systemCode("EINVAL", "that number is in use");
    if (this.binds.size >= MAX_BROKER_BINDS) throw systemCode("ENOBUFS", "too many addresses");
    const group = await this.host.groupFor(this, place);
    if (!this.isOpen) {
      this.host.onUnbound(group);
      return;
    }
    const bound = { ...place, port: group.place.port };
    try {
      if (this.trusted) this.giveMember(id, bound, group, index);
      else this.giveSenders(id, bound, group);
    } catch (error) {
      this.host.onUnbound(group); // one that was opened for this is closed again
      throw error;
    }
    this.orderBinds();
  }

  private giveMember(id: number, place: Place, group: Group, index: number): void {
    const resumed = index > 0 ? group.resume(this, index) : null;
    const { socket, isNew } = resumed !== null ? { socket: resumed, isNew: false } : group.take(this);
    this.binds.set(id, { place, group, socket });
    const reply: Reply = { op: "bound", id, place, group: group.place, index: socket.index };
    this.send(reply, resumed !== null ? [] : [socket.fd]);
    this.host.onMember(this, group, socket, isNew);
  }

  /** They are the program's alone: nothing of them is the group's. */
  private giveSenders(id: number, place: Place, group: Group): void {
    const fds = openSenders(group.place);
    this.binds.set(id, { place, group, socket: null });
    this.send({ op: "bound", id, place, group: group.place, index: -1 }, fds);
    fds.forEach(closeFd);
  }

  private listen(id: number, bindId: number, wanted: Wanted): void {
    const bind = this.binds.get(bindId);
    if (bind === undefined || this.listens.has(id))
      throw systemCode("EINVAL", "no such address, or that number is in use");
    if (this.listens.size >= MAX_BROKER_LISTENS) throw systemCode("ENOBUFS", "too many lists");
    const registration = this.host.register(this, bind.place, wanted);
    this.listens.set(id, { bind: bindId, registration });
    this.done(id);
  }

  private unlisten(id: number): void {
    const listen = this.listens.get(id);
    if (listen === undefined) return;
    this.listens.delete(id);
    this.host.unregister(listen.registration);
  }

  private unbind(id: number): void {
    const bind = this.binds.get(id);
    if (bind === undefined) return;
    for (const [listenId, listen] of this.listens) if (listen.bind === id) this.unlisten(listenId);
    this.binds.delete(id);
    this.orderBinds();
    if (bind.socket !== null) bind.group.giveBack(bind.socket);
    this.host.onUnbound(bind.group);
  }

  private done(id: number, code = "", message = ""): void {
    this.send({ op: "done", id, code, message });
  }

  private fail(request: Request, error: Error & { code?: string }): void {
    const code = error.code ?? "EIO";
    if ("id" in request) this.done(request.id, code, error.message);
    else this.refuse(code, error.message);
  }

  private refuse(code: string, message: string): void {
    this.send({ op: "refused", code, message });
    this.detach();
  }

  private gone(): void {
    clearTimeout(this.helloTimer);
    for (const id of [...this.binds.keys()]) this.unbind(id);
    this.host.onGone(this);
  }
}
