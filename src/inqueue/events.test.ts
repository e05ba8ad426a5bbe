import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { CloseInfo, HandshakeInfo, TransportHandler } from "../port/transport.js";
import { MAX_HELD_KEYLOG_LINES, MAX_HELD_TICKETS } from "../proto/limits.js";
import { RecvStream } from "../stream/recv.js";
import { HeldBytes } from "../stream/held.js";
import { SendStream } from "../stream/send.js";
import {
  EVENT_CLOSED,
  EVENT_OPENED,
  EVENT_READABLE,
  EVENT_RESET,
  EVENT_SEND_DONE,
  EVENT_STOP_SENDING,
  EVENT_WRITABLE,
  Stream,
} from "../stream/stream.js";
import { Events } from "./events.js";

const CLOSE: CloseInfo = { type: "application", remote: true, code: 1n, frameType: 0, reason: "" };

/** Writes down every call; `during` runs after a line is written. */
function recorder(lines: string[], during: (line: string) => void = () => {}): TransportHandler {
  return new Proxy({} as TransportHandler, {
    get:
      (_target, name) =>
      (...args: unknown[]) => {
        const line = [String(name), ...args.filter((arg) => typeof arg !== "object")].join(" ");
        lines.push(line);
        during(line);
      },
  });
}

function makeStream(id: number): Stream {
  const held = new HeldBytes(0);
  return new Stream(id, new SendStream(0, 0, held), new RecvStream(0, 0, held));
}

let events: Events;
let lines: string[];
beforeEach(() => {
  events = new Events();
  lines = [];
});

describe("Events", () => {
  test("tells establishment, then streams in order of their first event, then tickets, paths, the end", () => {
    const [one, two] = [makeStream(1), makeStream(2)];
    events.noteClosed(CLOSE);
    events.noteTicket(new Uint8Array(1));
    events.noteStreamsAvailable(1);
    events.note(two, EVENT_READABLE);
    events.note(one, EVENT_SEND_DONE | EVENT_OPENED);
    events.note(two, EVENT_STOP_SENDING | EVENT_WRITABLE | EVENT_RESET | EVENT_READABLE);
    events.noteNewToken(new Uint8Array(1));
    events.noteConfirmed();
    events.noteHandshake({} as HandshakeInfo);
    events.noteKeylog("SECRET");
    const row = new Int32Array(10);
    events.notePathValidation({
      result: "success",
      path: row,
      socket: 0,
      oldPath: row,
      oldSocket: 0,
      preferred: false,
    });
    events.drain(recorder(lines));
    assert.deepEqual(lines, [
      "onKeylog SECRET",
      "onHandshake",
      "onHandshakeConfirmed",
      "onReadable 2",
      "onWritable 2",
      "onReset 2 0",
      "onStopSending 2 0",
      "onStream 1",
      "onSendDone 1",
      "onStreamsAvailable 1",
      "onTicket",
      "onNewToken",
      "onPathValidation",
      "onClosed",
    ]);
    assert.equal(events.pending, false);
  });

  test("many events of one stream are told once", () => {
    const one = makeStream(1);
    for (let count = 0; count < 1000; count++) events.note(one, EVENT_READABLE);
    events.drain(recorder(lines));
    events.drain(recorder(lines));
    assert.deepEqual(lines, ["onReadable 1"]);
  });

  test("what is noted while telling is told in the same drain, and drain does not nest", () => {
    const [one, two] = [makeStream(1), makeStream(2)];
    events.note(one, EVENT_READABLE);
    events.noteTicket(new Uint8Array(1));
    events.noteClosed(CLOSE);
    const handler = recorder(lines, (line) => {
      if (line === "onTicket") events.note(two, EVENT_SEND_DONE);
      if (line !== "onReadable 1") return;
      events.note(two, EVENT_WRITABLE);
      events.note(one, EVENT_CLOSED);
      events.drain(handler);
    });
    events.drain(handler);
    assert.deepEqual(lines, [
      "onReadable 1",
      "onWritable 2",
      "onStreamClosed 1",
      "onTicket",
      "onSendDone 2",
      "onClosed",
    ]);
  });

  test("a handler that throws loses nothing of the streams after it", () => {
    const [one, two] = [makeStream(1), makeStream(2)];
    events.note(one, EVENT_READABLE);
    events.note(two, EVENT_READABLE);
    const failing = recorder([], () => {
      throw new Error("application");
    });
    assert.throws(() => events.drain(failing), /application/);
    assert.equal(events.pending, true);
    events.drain(recorder(lines));
    assert.deepEqual(lines, ["onReadable 2"]);
  });

  test("nothing follows onClosed, and the first reason stays", () => {
    events.noteClosed(CLOSE);
    events.noteClosed({ ...CLOSE, code: 2n });
    let code = 0n;
    events.drain({ onClosed: (info: CloseInfo) => (code = info.code) } as unknown as TransportHandler);
    assert.equal(code, 1n);
    events.note(makeStream(1), EVENT_READABLE);
    events.noteClosed(CLOSE);
    assert.equal(events.pending, false);
    events.drain(recorder(lines));
    assert.deepEqual(lines, []);
  });

  test("tickets, tokens and key log lines are bounded", () => {
    for (let count = 0; count < 1000; count++) {
      events.noteTicket(new Uint8Array(1));
      events.noteNewToken(new Uint8Array(1));
      events.noteKeylog("line");
    }
    events.drain(recorder(lines));
    assert.equal(lines.length, 2 * MAX_HELD_TICKETS + MAX_HELD_KEYLOG_LINES);
  });
});
