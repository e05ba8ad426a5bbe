/** What everything above the engine may rely on: the contract of port/transport, run against an implementation. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  STREAM_BIDI,
  STREAM_UNI,
  T_BLOCKED,
  T_CLOSED,
  T_RESET,
  T_STATE,
  T_STOPPED,
  type Transport,
} from "#src/port/transport.js";
import { FILE_ENDED, FILE_READY, type FileSource, type FileState } from "#src/port/file.js";
import type { Recorder } from "../support/pair.js";

/** Two connected transports; `run` lets everything happen that can happen within the time. */
export interface TransportPair {
  client: Transport;
  server: Transport;
  clientEvents: Recorder;
  serverEvents: Recorder;
  run(micros: number): void;
}

export interface TransportLimits {
  streamWindowBytes: number;
  connWindowBytes: number;
  streamsBidi: number;
  sendBufferBytes: number;
}

const SECOND = 1_000_000;

export function transportContract(name: string, make: (limits: Partial<TransportLimits>) => TransportPair): void {
  describe(`port/transport: ${name}`, () => {
    streams(make);
    credit(make);
    aborts(make);
    closing(make);
  });
}

function bytes(length: number, seed = 1): Uint8Array {
  return new Uint8Array(length).map((_, i) => i * 31 + seed);
}

/** Reads everything that is there. */
function readAll(transport: Transport, id: number): Uint8Array {
  const out = new Uint8Array(transport.readable(id));
  let at = 0;
  while (at < out.length) at += transport.read(id, out, at, out.length);
  return out;
}

/** A file that is an array. */
class ArraySource implements FileSource {
  readonly error = null;
  givenBytes = 0;

  constructor(private readonly bytes: Uint8Array) {}

  get state(): FileState {
    return this.wantedBytes === 0 ? FILE_ENDED : FILE_READY;
  }

  get wantedBytes(): number {
    return this.bytes.length - this.givenBytes;
  }

  read(into: Uint8Array, start: number, end: number): number {
    const count = Math.min(end - start, this.wantedBytes);
    into.set(this.bytes.subarray(this.givenBytes, this.givenBytes + count), start);
    this.givenBytes += count;
    return count;
  }

  close(): void {}
}

type Make = (limits: Partial<TransportLimits>) => TransportPair;

function streams(make: Make): void {
  test("RFC 9000 §2.1 ids count by kind and role", () => {
    const { client, server } = make({});
    assert.deepEqual([client.open(STREAM_BIDI), client.open(STREAM_BIDI), client.open(STREAM_UNI)], [0, 4, 2]);
    assert.deepEqual([server.open(STREAM_BIDI), server.open(STREAM_UNI)], [1, 3]);
  });

  test("bytes and the end arrive once, in order, and then both sides forget the stream", () => {
    const { client, server, clientEvents, serverEvents, run } = make({});
    const id = client.open(STREAM_BIDI);
    const sent = bytes(100_000);
    assert.equal(client.write(id, sent, 0, 60_000, false), 60_000);
    assert.equal(client.write(id, sent, 60_000, sent.length, true), 40_000);
    run(SECOND);
    assert.deepEqual(serverEvents.calls[2], ["stream", id]);
    assert.deepEqual(readAll(server, id), sent);
    assert.ok(server.atEnd(id));
    assert.equal(server.write(id, sent, 0, 0, true), 0, "a FIN alone");
    run(SECOND);
    assert.ok(client.atEnd(id) || client.read(id, new Uint8Array(1), 0, 1) === 0);
    run(SECOND);
    assert.ok(clientEvents.names().includes("sendDone"));
    assert.deepEqual(clientEvents.args("streamClosed"), [id]);
    assert.deepEqual(serverEvents.args("streamClosed"), [id]);
    assert.equal(client.write(id, sent, 0, 1, false), T_STATE);
    assert.equal(server.read(id, new Uint8Array(1), 0, 1), T_STATE);
  });

  test("a source fills the send buffer as far as there is room, and goes on when there is more", () => {
    const { client, server, clientEvents, run } = make({ sendBufferBytes: 20_000 });
    const id = client.open(STREAM_UNI);
    const sent = bytes(60_000);
    const source = new ArraySource(sent);
    assert.equal(client.writeFrom(400, source), T_STATE);
    const got: number[] = [];
    let told = 0;
    for (let i = 0; i < 100 && got.length < sent.length; i++) {
      while (source.state === FILE_READY && client.writeFrom(id, source) > 0);
      assert.ok(source.givenBytes - got.length <= 20_000, "no more than the send buffer");
      run(SECOND / 10);
      told = clientEvents.names().filter((name) => name === "writable").length;
      got.push(...readAll(server, id));
    }
    assert.deepEqual(Uint8Array.from(got), sent);
    assert.ok(told > 0);
    assert.equal(client.writeFrom(id, source), 0, "it has no more");
    assert.equal(client.reset(id, 1n), true);
    assert.equal(client.writeFrom(id, source), T_STATE);
    client.close("application", 0n, "");
    assert.equal(client.writeFrom(id, source), T_CLOSED);
  });

  test("halves that do not exist are T_STATE", () => {
    const { client, server, run } = make({});
    const id = client.open(STREAM_UNI);
    client.write(id, bytes(10), 0, 10, false);
    run(SECOND);
    assert.equal(client.read(id, bytes(1), 0, 1), T_STATE);
    assert.equal(server.write(id, bytes(1), 0, 1, false), T_STATE);
    assert.equal(client.write(400, bytes(1), 0, 1, false), T_STATE);
    assert.equal(client.write(id, bytes(1), 0, 0, true), 0);
    assert.equal(client.write(id, bytes(1), 0, 1, false), T_STATE, "after FIN");
  });

  test("one unread stream never blocks another", () => {
    const { client, server, run } = make({ streamWindowBytes: 10_000, connWindowBytes: 100_000 });
    const unread = client.open(STREAM_BIDI);
    const read = client.open(STREAM_BIDI);
    client.write(unread, bytes(50_000), 0, 50_000, false);
    let got = 0;
    client.write(read, bytes(50_000), 0, 50_000, true);
    for (let i = 0; i < 50; i++) {
      run(SECOND / 10);
      got += readAll(server, read).length;
    }
    assert.equal(got, 50_000);
    assert.equal(server.readable(unread), 10_000);
  });
}

function credit(make: Make): void {
  test("RFC 9000 §4.6 open is blocked at the peer's limit and told when it rises", () => {
    const { client, server, clientEvents, run } = make({ streamsBidi: 2 });
    const first = client.open(STREAM_BIDI);
    client.open(STREAM_BIDI);
    assert.equal(client.open(STREAM_BIDI), T_BLOCKED);
    client.write(first, bytes(1), 0, 1, true);
    run(SECOND);
    readAll(server, first);
    server.write(first, bytes(1), 0, 0, true);
    run(SECOND);
    client.read(first, new Uint8Array(1), 0, 1);
    run(SECOND);
    assert.deepEqual(clientEvents.args("available"), [STREAM_BIDI]);
    assert.equal(client.open(STREAM_BIDI), 8);
  });

  test("write takes what fits, says 0 when full, and is told of new room", () => {
    const { client, server, clientEvents, run } = make({ sendBufferBytes: 16_384, streamWindowBytes: 8_192 });
    const id = client.open(STREAM_BIDI);
    assert.equal(client.writable(id), 16_384);
    assert.equal(client.write(id, bytes(20_000), 0, 20_000, true), 16_384, "FIN does not count: not all was taken");
    assert.equal(client.write(id, bytes(1), 0, 1, false), 0);
    run(SECOND);
    assert.equal(server.readable(id), 8_192, "not more than the window");
    assert.equal(readAll(server, id).length, 8_192);
    run(SECOND);
    readAll(server, id);
    run(SECOND);
    assert.deepEqual(clientEvents.args("writable"), [id]);
    assert.equal(client.write(id, bytes(20_000), 16_384, 20_000, true), 3_616);
    run(SECOND);
    readAll(server, id);
    assert.ok(server.atEnd(id));
  });
}

function aborts(make: Make): void {
  test("RFC 9000 §19.4 a reset reaches the reader with its 62-bit code, and unread data is gone", () => {
    const { client, server, serverEvents, run } = make({});
    const id = client.open(STREAM_UNI);
    client.write(id, bytes(1000), 0, 1000, false);
    run(SECOND);
    assert.equal(client.reset(id, 2n ** 62n - 1n), true);
    assert.equal(client.reset(id, 1n), false, "only once");
    run(SECOND);
    assert.deepEqual(serverEvents.args("reset"), [id, 2n ** 62n - 1n]);
    assert.ok([T_RESET, T_STATE].includes(server.read(id, new Uint8Array(10), 0, 10)));
  });

  test("RFC 9000 §3.5 stopSending makes the writer see T_STOPPED and the peer's code", () => {
    const { client, server, clientEvents, run } = make({});
    const id = client.open(STREAM_BIDI);
    client.write(id, bytes(1000), 0, 1000, false);
    run(SECOND);
    assert.equal(server.stopSending(id, 5n), true);
    run(SECOND);
    assert.deepEqual(clientEvents.args("stop"), [id, 5n]);
    assert.equal(client.write(id, bytes(1), 0, 1, false), T_STOPPED);
    assert.equal(client.stopCode(id), 5n);
  });
}

function closing(make: Make): void {
  test("after close every call says so, the first close wins, and both sides are told once", () => {
    const { client, server, clientEvents, serverEvents, run } = make({});
    const id = client.open(STREAM_BIDI);
    client.write(id, bytes(100), 0, 100, false);
    run(SECOND);
    client.close("application", 9n, "bye");
    client.close("application", 10n, "again");
    assert.equal(client.open(STREAM_BIDI), T_CLOSED);
    assert.equal(client.write(id, bytes(1), 0, 1, false), T_CLOSED);
    run(SECOND);
    assert.equal(client.closeInfo?.code, 9n);
    assert.equal(server.closeInfo?.code, 9n);
    assert.equal(server.open(STREAM_BIDI), T_CLOSED);
    for (const events of [clientEvents, serverEvents]) {
      assert.equal(events.names().filter((called) => called === "closed").length, 1);
      assert.equal(events.names().at(-1), "closed");
    }
  });

  test("what was received before the close can still be read", () => {
    const { client, server, run } = make({});
    const id = client.open(STREAM_BIDI);
    client.write(id, bytes(5000), 0, 5000, true);
    run(SECOND / 100);
    client.close("application", 0n, "");
    run(SECOND / 100);
    assert.equal(readAll(server, id).length, 5000);
  });
}
