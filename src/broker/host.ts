/**
 * `quic host`: owns UDP ports and shares them out to programs, which register over a Unix socket (docs/host.md).
 *
 * Invariants: one route, one program. No TLS key is here. What a program can do to another one is bounded by what
 * its user may: those of the host's own user are one trust domain, those of others get their packets by message only.
 */

import { randomInt, timingSafeEqual } from "node:crypto";
import { lstatSync, rmSync, unlinkSync } from "node:fs";
import type { Endpoint } from "../endpoint/endpoint.js";
import type { UdpStats } from "../port/udp.js";
import {
  BROKER_RESUME_MILLIS,
  MAX_BROKER_CONNECTIONS,
  MAX_BROKER_NAMES_PER_OTHER_USER,
  MAX_BROKER_PROGRAMS_PER_OTHER_USER,
  MAX_BROKER_TURNED_AWAY,
} from "../proto/limits.js";
import { newRxBatch } from "../runtime/batch.js";
import type { Datapath } from "../runtime/choose.js";
import { systemClock } from "../runtime/clock.js";
import type { MemoryLimits } from "../runtime/memory-level.js";
import { closeFd, connectUnix, UnixListener, type UnixPeer } from "../runtime/native/unix-socket.js";
import type { Hello } from "../socket/dispatch.js";
import { unpack } from "./datagrams.js";
import { Front, type FrontCounters, type FrontOwner, type Recipient } from "./front.js";
import { Group, type SharedSocket } from "./group.js";
import { SOCKET_LIMITS } from "./link-limits.js";
import { type Place, systemCode, type Wanted } from "./messages.js";
import { SharedMemory } from "./memory.js";
import { HostedProgram, type ProgramHost } from "./program.js";
import { coversPlace, type Registration, Registry, shareIpv6, weightOf, wordsOf } from "./registry.js";
import { deriveRoute, type Route, ROUTES_MAX } from "./route-ids.js";
import { StateFile } from "./state-file.js";

/** Who may do what. */
export interface HostPolicy {
  /** Whether a process may connect at all. */
  admits(peer: UnixPeer): boolean;
  /** Whether a user's program may bind a place, and have a port opened for it. */
  mayBind(uid: number, place: Place): boolean;
  mayListen(uid: number, place: Place, wanted: Wanted): boolean;
}

export interface HostOptions {
  datapath: Datapath;
  /** Of the Unix socket. */
  socketPath: string;
  statePath: string;
  /** Opened at once and kept; others come and go with programs. */
  places: readonly Place[];
  policy: HostPolicy;
  ownUid: number;
  /** Of memory, for each program, and for those of the host's own user together. */
  limits?: MemoryLimits;
  /** One line for people: who came, who went and why. */
  onNote?: (line: string) => void;
}

export interface HostCounters extends FrontCounters {
  /** Datagrams for programs that did not read. */
  dropped: number;
  retriesSent: number;
}

const TEND_MILLIS = 1000;
const GENERATIONS = 2 ** 32 - 1;

export class BrokerHost implements ProgramHost, FrontOwner {
  private readonly byRoute = new Array<HostedProgram | null>(ROUTES_MAX + 1).fill(null);
  private readonly programs = new Set<HostedProgram>();
  private readonly groups = new Map<string, Promise<Group>>();
  private readonly openGroups = new Set<Group>();
  /** Stay without programs. */
  private readonly pinned = new Set<Group>();
  private readonly registry = new Registry<HostedProgram>();
  private readonly state: StateFile;
  private readonly dirty: HostedProgram[] = [];
  private readonly memory: SharedMemory<HostedProgram> | null;
  /** Of ports and programs that are gone. */
  private readonly past: HostCounters = { forwarded: 0, handedOver: 0, strays: 0, dropped: 0, retriesSent: 0 };
  private readonly rx = newRxBatch();
  /** Routes of before the restart whose programs may still come back, with their generations. */
  private reserved: ReadonlyMap<number, number>;
  /** Of each route, that which was given out last. */
  private readonly generations = new Map<number, number>();
  /** Ports are opened one after the other: none is opened beside one that covers it. */
  private opening: Promise<unknown> = Promise.resolve();
  private readonly resumed: Promise<void>;
  private listener: UnixListener | null = null;
  private readonly tendTimer: NodeJS.Timeout;
  private closed = false;

  /** Rejects when another host runs, and with the system's error for what cannot be bound. */
  static async start(options: HostOptions): Promise<BrokerHost> {
    const host = new BrokerHost(options);
    try {
      await host.listen();
      return host;
    } catch (error) {
      host.close();
      throw error;
    }
  }

  private constructor(private readonly options: HostOptions) {
    this.state = new StateFile(options.statePath);
    this.memory = options.limits === undefined ? null : new SharedMemory(options.limits.memBytes);
    this.reserved = this.state.routes;
    for (const [route, generation] of this.reserved) this.generations.set(route, generation);
    this.resumed = new Promise((resolve) => {
      const done = (): void => {
        this.reserved = new Map();
        resolve();
      };
      if (this.reserved.size === 0) done();
      else setTimeout(done, BROKER_RESUME_MILLIS).unref();
    });
    this.tendTimer = setInterval(() => this.tend(), TEND_MILLIS);
    this.tendTimer.unref();
  }

  /** Where ports are open now. */
  get places(): readonly Place[] {
    return [...this.openGroups].map(({ place }) => place);
  }

  /** What can be seen of them. */
  *ports(): Generator<{ place: Place; endpoint: Endpoint; udpStats: UdpStats }> {
    for (const { place, front, udpStats } of this.openGroups) yield { place, endpoint: front.endpoint, udpStats };
  }

  get programCount(): number {
    return this.byRoute.filter((one) => one !== null).length;
  }

  /** Bytes that wait for programs. */
  get queuedBytes(): number {
    let sum = 0;
    for (const { queuedBytes } of this.programs) sum += queuedBytes;
    return sum;
  }

  /** Of all ports and programs that there ever were. */
  get counters(): HostCounters {
    const sum = { ...this.past };
    for (const group of this.openGroups) addGroup(sum, group);
    for (const { dropped } of this.programs) sum.dropped += dropped;
    return sum;
  }

  /** Programs keep their connections, and come back to the next host on the same path. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.tendTimer);
    const routes = this.routes();
    const hadSocket = this.listener !== null;
    if (hadSocket) rmSync(this.options.socketPath, { force: true }); // whoever removed it before
    this.listener?.close();
    for (const program of [...this.programs]) program.detach();
    for (const group of this.openGroups) group.close();
    // without it the state may be that of another host, which runs
    if (hadSocket) this.writeState(routes);
  }

  // --- FrontOwner ------------------------------------------------------------------------------------------------------

  recipient(route: number): Recipient | null {
    return this.byRoute[route] ?? null;
  }

  choose(front: Front, hello: Hello, addr: Int32Array): { recipient: Recipient; retry: boolean } | null {
    const found = this.registry.match(front.place?.port ?? 0, hello, addr);
    return found === null ? null : { recipient: found.owner, retry: found.retry };
  }

  flush(): void {
    for (const program of this.dirty) program.flush();
    this.dirty.length = 0;
  }

  // --- ProgramHost -----------------------------------------------------------------------------------------------------

  admits(peer: UnixPeer): { admitted: boolean; trusted: boolean } {
    const trusted = peer.uid === this.options.ownUid;
    let ofUser = 0;
    for (const { uid } of this.programs) if (uid === peer.uid) ofUser++;
    const hasRoom = trusted || ofUser < MAX_BROKER_PROGRAMS_PER_OTHER_USER;
    return { admitted: hasRoom && this.options.policy.admits(peer), trusted };
  }

  async welcome(program: HostedProgram, resume: Route | null): Promise<Route> {
    const route = this.resumeRoute(program, resume) ?? (await this.newRoute(program));
    this.keep(route);
    this.note(`route ${route.route}: process ${program.peer.pid} of user ${program.uid}`);
    return route;
  }

  async adopt(place: Place, fds: ReadonlyMap<number, number>): Promise<void> {
    const key = keyOf(place);
    if (this.groups.has(key) || !fds.has(0)) {
      for (const fd of fds.values()) closeFd(fd);
      return;
    }
    const front = this.newFront();
    await this.remember(key, Group.adopt(place, front, fds, this.groupOwner(key)));
    this.note(`${place.address} port ${place.port}: taken up again`);
  }

  async groupFor(program: HostedProgram, place: Place): Promise<Group> {
    if (!this.options.policy.mayBind(program.uid, place)) {
      throw systemCode("EACCES", `user ${program.uid} may not have port ${place.port}`);
    }
    const known = this.covering(place);
    if (known !== null) return known;
    await this.resumed;
    return this.openOnce(place);
  }

  register(program: HostedProgram, place: Place, wanted: Wanted): Registration<HostedProgram> {
    if (!this.options.policy.mayListen(program.uid, place, wanted)) {
      throw systemCode("EACCES", `user ${program.uid} may not have these names on port ${place.port}`);
    }
    const names = program.trusted ? 0 : this.registry.namesOf(program.uid) + weightOf(wanted);
    if (names > MAX_BROKER_NAMES_PER_OTHER_USER) throw systemCode("ENOBUFS", "too many names of one user");
    const registration = this.registry.add(program, program.uid, place, wanted);
    if (typeof registration === "number")
      throw systemCode("EADDRINUSE", "another program has one of these names there");
    this.note(`route ${program.route}: ${place.address} port ${place.port} ${JSON.stringify(wanted.alpn)}`);
    return registration;
  }

  unregister(registration: Registration<HostedProgram>): void {
    this.registry.remove(registration);
  }

  onMember(program: HostedProgram, group: Group, socket: SharedSocket, isNew: boolean): void {
    for (const [index, fd] of group.descriptors) {
      if (index !== socket.index) program.send({ op: "keep", group: group.place, index }, [fd]);
    }
    if (!isNew) return;
    for (const other of this.programs) {
      if (other === program || !other.trusted || ![...other.binds.values()].some((bind) => bind.group === group))
        continue;
      other.send({ op: "keep", group: group.place, index: socket.index }, [socket.fd]);
    }
  }

  onUnbound(group: Group): void {
    if (this.closed || this.pinned.has(group)) return;
    for (const { binds } of this.programs) for (const bind of binds.values()) if (bind.group === group) return;
    this.groups.delete(keyOf(group.place));
    if (!this.openGroups.delete(group)) return;
    addGroup(this.past, group);
    group.close();
  }

  redeliver(front: Front, message: Uint8Array): void {
    const { rx } = this;
    if (unpack(message, rx) === null) return;
    for (let row = 0; row < rx.count; row++) front.redeliver(rx, row, systemClock.nowMicros());
    this.flush();
  }

  get limits(): MemoryLimits | null {
    return this.options.limits ?? null;
  }

  onHeld(program: HostedProgram, bytes: number): void {
    if (program.trusted && this.memory?.set(program, bytes) === true) this.tellLevel();
  }

  needsFlush(program: HostedProgram): void {
    this.dirty.push(program);
  }

  onGone(program: HostedProgram): void {
    if (this.programs.delete(program)) this.past.dropped += program.dropped;
    if (this.memory?.remove(program) === true) this.tellLevel();
    if (this.byRoute[program.route] !== program) return;
    this.byRoute[program.route] = null;
    this.note(`route ${program.route}: gone`);
    if (!this.closed) this.writeState(this.routes());
  }

  // --- inside ----------------------------------------------------------------------------------------------------------

  private async listen(): Promise<void> {
    const { socketPath, places } = this.options;
    removeStale(socketPath);
    this.listener = new UnixListener(
      socketPath,
      SOCKET_LIMITS,
      (socket) => {
        const program = new HostedProgram(this, socket);
        if (this.hasRoomFor(program)) this.programs.add(program);
        else program.detach();
      },
      ({ message }) => this.note(`programs have to wait: ${message}`),
    );
    if (places.length > 0) await this.resumed;
    for (const place of places) this.pinned.add(await this.openOnce(place));
  }

  /** Each kind has room of its own: who is turned away, once it has said hello, keeps nobody else out. */
  private hasRoomFor({ trusted, admitted }: HostedProgram): boolean {
    let alike = 0;
    for (const other of this.programs) if (other.trusted === trusted && other.admitted === admitted) alike++;
    if (!admitted) return alike < MAX_BROKER_TURNED_AWAY;
    return !trusted || alike < MAX_BROKER_CONNECTIONS; // of others each user has its own bound
  }

  /** The group where packets to the place arrive, if there is one. */
  private covering(place: Place): Promise<Group> | null {
    const exact = this.groups.get(keyOf(place));
    if (exact !== undefined) return exact;
    if (place.port === 0) return null;
    for (const group of this.openGroups) {
      if (coversPlace(group.place, place)) return Promise.resolve(group);
      // the kernel might give the new socket what is for connections of the other
      if (group.place.port === place.port && shareIpv6(group.place, place)) {
        throw systemCode("EADDRINUSE", `port ${place.port} is open for IPv6 alone`);
      }
    }
    return null;
  }

  /** The group of the place; one that another program opens meanwhile counts. */
  private openOnce(place: Place): Promise<Group> {
    const group = this.opening.then(() => this.covering(place) ?? this.open(place));
    this.opening = group.catch(() => {});
    return group;
  }

  private open(place: Place): Promise<Group> {
    const key = keyOf(place);
    const isShared = [...this.openGroups].some((group) => group.place.port === place.port);
    const owner = this.groupOwner(key);
    return this.remember(key, Group.open(place, this.newFront(), this.options.datapath, owner, isShared));
  }

  private async remember(key: string, opening: Promise<Group>): Promise<Group> {
    // what asks for any port gets one of its own
    const isAny = key.endsWith(" 0");
    if (!isAny) this.groups.set(key, opening);
    try {
      const group = await opening;
      this.groups.set(keyOf(group.place), opening);
      this.openGroups.add(group);
      return group;
    } catch (error) {
      this.groups.delete(key);
      throw error;
    }
  }

  private newFront(): Front {
    return new Front(this, this.options.datapath.aead, this.state.key);
  }

  private groupOwner(key: string): { onAccept(): void; onEvents(): void; onError(error: Error): void } {
    return {
      onAccept() {},
      onEvents() {},
      onError: (error) => {
        this.note(`${key}: ${error.message}`);
        this.groups.delete(key);
      },
    };
  }

  private resumeRoute(program: HostedProgram, resume: Route | null): Route | null {
    if (resume === null || (this.byRoute[resume.route] ?? null) !== null) return null;
    if ((this.reserved.get(resume.route) ?? resume.generation) !== resume.generation) return null;
    const own = deriveRoute(this.state.key, resume.route, resume.generation);
    if (!timingSafeEqual(own.key, resume.key)) return null;
    this.byRoute[own.route] = program;
    return own;
  }

  private async newRoute(program: HostedProgram): Promise<Route> {
    await this.resumed;
    const free = this.byRoute.findIndex((one, route) => route > 0 && one === null);
    if (free < 0) throw systemCode("ENOSPC", "all routes of this host are given out");
    this.byRoute[free] = program;
    return deriveRoute(this.state.key, free, randomInt(GENERATIONS));
  }

  /** Writes that the route is given out. @throws when that fails: then it is not. */
  private keep({ route, generation }: Route): void {
    // one of before a restart is written already: a full disk does not keep its program out
    if (this.reserved.get(route) === generation) return;
    const before = this.generations.get(route);
    this.generations.set(route, generation);
    const error = this.writeState(this.routes());
    if (error === null) return;
    this.byRoute[route] = null;
    if (before === undefined) this.generations.delete(route);
    else this.generations.set(route, before);
    throw systemCode(error.code ?? "EIO", "the host cannot write its state, and takes no new programs");
  }

  /** A full disk ends nobody: a route that is gone counts as given until the next one is written. */
  private writeState(routes: ReadonlyMap<number, number>): NodeJS.ErrnoException | null {
    try {
      this.state.write(routes);
      return null;
    } catch (error) {
      this.note(`the state is not written: ${(error as Error).message}`);
      return error as NodeJS.ErrnoException;
    }
  }

  private routes(): Map<number, number> {
    const isGiven = (route: number): boolean => (this.byRoute[route] ?? null) !== null || this.reserved.has(route);
    return new Map([...this.generations].filter(([route]) => isGiven(route)));
  }

  private tend(): void {
    for (const program of [...this.programs]) {
      if (!program.isStuck()) continue;
      this.note(`route ${program.route}: detached, it does not read`);
      program.detach();
    }
  }

  private tellLevel(): void {
    const level = this.memory?.level ?? "ok";
    for (const program of this.programs) if (program.trusted) program.send({ op: "memory", level });
    this.note(`memory of all programs: ${level}`);
  }

  private note(line: string): void {
    this.options.onNote?.(line);
  }
}

function addGroup(sum: HostCounters, { front }: Group): void {
  sum.forwarded += front.counters.forwarded;
  sum.handedOver += front.counters.handedOver;
  sum.strays += front.counters.strays;
  sum.retriesSent += front.endpoint.counters.retriesSent;
}

/** @throws EADDRINUSE when another host answers there. */
function removeStale(path: string): void {
  try {
    connectUnix(path, SOCKET_LIMITS).close();
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ECONNREFUSED" && lstatSync(path).isSocket()) unlinkSync(path);
    else if (code !== "ENOENT") throw error;
    return;
  }
  throw systemCode("EADDRINUSE", `another host runs at ${path}`);
}

function keyOf({ address, port, ipv6Only }: Place): string {
  return `${wordsOf(address).join(".")} ${ipv6Only ? "ipv6 " : ""}${port}`;
}
