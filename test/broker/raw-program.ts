/** Programs without an engine, which say what they like to a host, and datagrams made by hand. */

import assert from "node:assert/strict";
import { bindOf, unpack } from "#src/broker/datagrams.js";
import { SOCKET_LIMITS } from "#src/broker/link-limits.js";
import { BROKER_VERSION, encode, readReply, type Reply, type Request } from "#src/broker/messages.js";
import { type Route, RouteIds } from "#src/broker/route-ids.js";
import { TX_COLS, type UdpHandler, type UdpSocket } from "#src/port/udp.js";
import { setAddressRow } from "#src/runtime/address.js";
import { newRxBatch, newTxBatch } from "#src/runtime/batch.js";
import { closeFd, connectUnix, type UnixSocket } from "#src/runtime/native/unix-socket.js";
import { nativeUdp } from "#src/runtime/native/udp.js";
import { systemRandom } from "#src/runtime/random.js";
import { type TestHost, until } from "./support.js";

/** A program that says what it likes. */
export class RawProgram {
  readonly socket: UnixSocket;
  readonly replies: Reply[] = [];
  readonly fds: number[] = [];
  /** Datagrams in messages, as one. */
  received = Buffer.alloc(0);
  closed = false;

  constructor(host: Pick<TestHost, "path">) {
    this.socket = connectUnix(host.path, SOCKET_LIMITS);
    this.socket.unref(); // a test that failed must not keep the process
    this.socket.start({
      onMessage: (bytes, fds) => {
        this.fds.push(...fds);
        if (bindOf(bytes) >= 0) {
          const rx = newRxBatch();
          assert.ok(unpack(bytes, rx) !== null);
          this.received = Buffer.concat([this.received, bytes]);
          return;
        }
        const reply = readReply(bytes, fds.length);
        if (reply !== null) this.replies.push(reply);
      },
      onClosed: () => (this.closed = true),
    });
  }

  /** One that has said hello and has the host's port, as its bind 1. */
  static async bound(host: Pick<TestHost, "path" | "port">): Promise<RawProgram> {
    const program = new RawProgram(host);
    await program.hello();
    await program.bind(host.port);
    return program;
  }

  say(request: Request, fds: readonly number[] = []): void {
    this.socket.send(encode(request), fds);
  }

  /** It reads nothing any more; whatever comes stays in the kernel. */
  deafen(): void {
    this.socket["handler"] = null;
  }

  async next<O extends Reply["op"]>(op: O): Promise<Reply & { op: O }> {
    await until(() => this.replies.some((reply) => reply.op === op));
    const at = this.replies.findIndex((reply) => reply.op === op);
    return this.replies.splice(at, 1)[0] as Reply & { op: O };
  }

  async hello(resume: Route | null = null): Promise<Route> {
    this.say({ op: "hello", version: BROKER_VERSION, resume });
    return (await this.next("welcome")).route;
  }

  async bind(port: number, id = 1): Promise<void> {
    this.say({ op: "bind", id, place: { address: "127.0.0.1", port, ipv6Only: false }, index: -1 });
    await this.next("bound");
  }

  [Symbol.dispose](): void {
    this.socket.close();
    for (const fd of this.fds) closeFd(fd);
  }
}

export const NO_HANDLER: UdpHandler = { onReadable() {}, onWritable() {}, onError() {} };

export async function udp(): Promise<UdpSocket> {
  const socket = await nativeUdp.open({ address: "127.0.0.1", port: 0 }, NO_HANDLER);
  socket.unref();
  return socket;
}

export function send(from: UdpSocket, port: number, bytes: Uint8Array): void {
  const tx = newTxBatch();
  tx.buf.set(bytes);
  tx.rows.set([0, bytes.length, 0, 0, 0].slice(0, TX_COLS));
  setAddressRow(tx.dests, 0, "127.0.0.1", port);
  tx.count = tx.destCount = 1;
  tx.used = bytes.length;
  from.send(tx);
}

/** A short header with an id of the route, and `text` behind it. */
export function shortPacket(route: Route, text: string): Buffer {
  const cid = new Uint8Array(8);
  new RouteIds(route).make(cid, systemRandom);
  return Buffer.concat([Buffer.of(0x40), cid, Buffer.from(text)]);
}
