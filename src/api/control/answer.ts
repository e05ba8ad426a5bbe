/**
 * One asker on a control socket. Questions are answered one after the other, a page of sockets at a time: the event loop
 * turns between two pages, and no page is made while the asker leaves the last ones unread.
 */

import type { Socket } from "node:net";
import {
  CONTROL_PAGE_SOCKETS,
  CONTROL_PATIENCE_MILLIS,
  MAX_CONTROL_FRAME_BYTES,
  MAX_CONTROL_QUEUED_BYTES,
  MAX_CONTROL_REQUEST_BYTES,
  MAX_CONTROL_REQUESTS,
} from "../../proto/limits.js";
import { FramedSocket } from "../../runtime/framed-socket.js";
import { programInfo } from "./program.js";
import { type Answer, decodeMessage, encodeMessage } from "./protocol.js";
import { listenerRows, processCounters, socketRows } from "./registry.js";
import type { SocketRow } from "./rows.js";

const LIMITS = { maxFrameBytes: MAX_CONTROL_FRAME_BYTES, maxQueuedBytes: MAX_CONTROL_QUEUED_BYTES };
/** No page is made while so much waits to be read. */
const PAUSE_BYTES = 256 * 1024;

export class Asker {
  private readonly framed: FramedSocket;
  private readonly waiting: (() => Iterator<SocketRow>)[] = [];
  private rows: Iterator<SocketRow> | null = null;
  private asked = 0;
  private ended = false;
  private scheduled = false;

  constructor(socket: Socket) {
    this.framed = new FramedSocket(socket, LIMITS, {
      onFrame: (frame) => this.onQuestion(frame),
      onEnd: () => {
        this.ended = true;
      },
      onDrain: () => this.go(),
    });
    // an asker that is here must not keep the program
    this.framed.unref();
    socket.setTimeout(CONTROL_PATIENCE_MILLIS, () => this.framed.destroy());
  }

  private onQuestion(frame: Uint8Array): void {
    const question = frame.length <= MAX_CONTROL_REQUEST_BYTES ? decodeMessage(frame) : null;
    const ask = question?.["ask"];
    if (++this.asked > MAX_CONTROL_REQUESTS) this.refuse("too many questions");
    else if (ask === "program") this.begin(noRows);
    else if (ask === "listeners") this.begin(listenerRows);
    else if (ask === "sockets") this.begin(() => socketRows(question?.["details"] === true));
    else this.refuse("no question of this program");
  }

  private begin(rows: () => Iterator<SocketRow>): void {
    this.waiting.push(rows);
    this.go();
  }

  private refuse(error: string): void {
    this.answer({ error });
    this.framed.end();
  }

  private answer(...messages: Answer[]): void {
    for (const message of messages) this.framed.send(encodeMessage(message));
  }

  /** Goes on with the next turn of the loop. */
  private go(): void {
    if (this.scheduled || this.ended) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (!this.ended) this.step();
    });
  }

  private step(): void {
    if (this.rows === null) {
      const rows = this.waiting.shift();
      if (rows === undefined) return;
      this.rows = rows();
      this.answer({ program: programInfo() });
    }
    if (this.framed.queuedBytes > PAUSE_BYTES) return; // onDrain follows
    const sockets: SocketRow[] = [];
    let next = this.rows.next();
    while (next.done !== true) {
      sockets.push(next.value);
      if (sockets.length === CONTROL_PAGE_SOCKETS) break;
      next = this.rows.next();
    }
    if (sockets.length > 0) this.answer({ sockets });
    if (next.done === true) {
      this.rows = null;
      this.answer(end());
    }
    this.go();
  }
}

function* noRows(): Generator<SocketRow> {}

function end(): Answer {
  return { end: true, ...processCounters() };
}
