/**
 * The seam proves itself: a throw-away socket in the manner of Linux (`sendmsg`, `recvmsg`, negative errno, one receive
 * list in arrival order) fits on port/transport without a look below it.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { STREAM_BIDI, T_BLOCKED, T_CLOSED, type Transport } from "#src/port/transport.js";
import { Pair, Recorder } from "../support/pair.js";

const EAGAIN = -11;
const EINVAL = -22;
const EPIPE = -32;
const MSG_FIN = 0x200;
const MSG_NEW = 0x400;

class ToySocket extends Recorder {
  private readonly ready: number[] = [];
  override onReadable = (id: number): void => void (this.ready.includes(id) || this.ready.push(id));

  constructor(private readonly transport: Transport) {
    super();
  }

  sendmsg(data: Uint8Array, info: { streamId: number; flags: number }): number {
    if ((info.flags & MSG_NEW) !== 0) info.streamId = this.transport.open(STREAM_BIDI);
    if (info.streamId === T_BLOCKED) return EAGAIN;
    if (info.streamId === T_CLOSED) return EPIPE;
    const taken = this.transport.write(info.streamId, data, 0, data.length, (info.flags & MSG_FIN) !== 0);
    if (taken < 0) return taken === T_CLOSED ? EPIPE : EINVAL;
    return taken === 0 && data.length > 0 ? EAGAIN : taken;
  }

  recvmsg(buf: Uint8Array, info: { streamId: number; flags: number }): number {
    this.transport.drain(this);
    const id = this.ready.shift();
    if (id === undefined) return this.transport.closeInfo === null ? EAGAIN : EPIPE;
    const count = this.transport.read(id, buf, 0, buf.length);
    info.streamId = id;
    info.flags = this.transport.atEnd(id) ? MSG_FIN : 0;
    if (this.transport.readable(id) > 0) this.ready.unshift(id);
    return count;
  }
}

test("a sendmsg-like socket works over port/transport", () => {
  const pair = new Pair();
  pair.settle();
  assert.ok(pair.serverConn !== null);
  const client = new ToySocket(pair.clientConn);
  const server = new ToySocket(pair.serverConn);
  const info = { streamId: -1, flags: MSG_NEW | MSG_FIN };
  assert.equal(client.sendmsg(Uint8Array.of(1, 2, 3), info), 3);
  assert.equal(info.streamId, 0);
  pair.exchange();
  const buf = new Uint8Array(2);
  const got = { streamId: -1, flags: 0 };
  assert.equal(server.recvmsg(buf, got), 2);
  assert.deepEqual(got, { streamId: 0, flags: 0 });
  assert.equal(server.recvmsg(buf, got), 1);
  assert.deepEqual(got, { streamId: 0, flags: MSG_FIN });
  assert.equal(server.recvmsg(buf, got), EAGAIN);
  assert.equal(client.sendmsg(buf, { streamId: 0, flags: 0 }), EINVAL);
  pair.clientConn.close("application", 0n, "");
  assert.equal(client.sendmsg(buf, { streamId: 0, flags: MSG_NEW }), EPIPE);
});
