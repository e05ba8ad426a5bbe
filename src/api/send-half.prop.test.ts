import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { FILE_ENDED, FILE_FAILED, FILE_PENDING, FILE_READY, type FileSource, type FileState } from "../port/file.js";
import type { Transport } from "../port/transport.js";
import { SendHalf, type WriteDone } from "./send-half.js";

/** A transport of one stream that takes what it has room for. */
class Sink {
  readonly taken: number[] = [];
  room = 0;
  fin = false;
  /** Told the writer that there was no room, and owes it an event. */
  owes = false;

  write(_id: number, buf: Uint8Array, start: number, end: number, fin: boolean): number {
    assert.equal(this.fin, false, "nothing follows FIN");
    const count = Math.min(end - start, this.room);
    this.taken.push(...buf.subarray(start, start + count));
    this.room -= count;
    if (count < end - start) this.owes = true;
    else if (fin) this.fin = true;
    return count;
  }

  writeFrom(_id: number, source: FileSource): number {
    assert.equal(this.fin, false, "nothing follows FIN");
    if (this.room === 0) this.owes = true;
    const wanted = Math.min(source.wantedBytes, this.room);
    const into = new Uint8Array(wanted);
    const count = wanted === 0 ? 0 : source.read(into, 0, wanted);
    this.taken.push(...into.subarray(0, count));
    this.room -= count;
    return count;
  }

  writable(): number {
    return this.room;
  }
}

/** A file that has `piece` bytes at a time; every other piece has to be waited for. */
class Source implements FileSource {
  state: FileState = FILE_READY;
  error: unknown = null;
  givenBytes = 0;
  closed = 0;
  private left = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly piece: number,
    private readonly failsAt: number,
    readonly onReady: () => void,
  ) {
    this.left = piece;
    if (bytes.length === 0) this.state = FILE_ENDED;
  }

  get wantedBytes(): number {
    return this.bytes.length - this.givenBytes;
  }

  read(into: Uint8Array, start: number, end: number): number {
    assert.deepEqual([this.state, this.closed], [FILE_READY, 0]);
    if (this.givenBytes >= this.failsAt) {
      this.state = FILE_FAILED;
      this.error = new Error("the disk is gone");
      return 0;
    }
    if (this.left === 0) {
      this.state = FILE_PENDING;
      return 0;
    }
    const count = Math.min(end - start, this.wantedBytes, this.left);
    into.set(this.bytes.subarray(this.givenBytes, this.givenBytes + count), start);
    this.givenBytes += count;
    this.left -= count;
    if (this.wantedBytes === 0) this.state = FILE_ENDED;
    return count;
  }

  wake(): void {
    this.left = this.piece;
    if (this.state !== FILE_PENDING) return;
    this.state = FILE_READY;
    if (this.closed === 0) this.onReady();
  }

  close(): void {
    this.closed++;
  }
}

type Step =
  | { kind: "file"; length: number; piece: number; failsAt: number }
  | { kind: "wake" }
  | { kind: "write" | "writeNow"; length: number }
  | { kind: "room"; bytes: number }
  | { kind: "cancel"; index: number }
  | { kind: "end" | "fail" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("write" as const), length: fc.nat(300) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("writeNow" as const), length: fc.integer({ min: 1, max: 300 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("file" as const),
      length: fc.nat(300),
      piece: fc.integer({ min: 1, max: 200 }),
      failsAt: fc.oneof(fc.constant(Infinity), fc.constant(Infinity), fc.nat(300)),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ kind: "wake" as const }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("room" as const), bytes: fc.nat(400) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cancel" as const), index: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "end" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "fail" as const }) },
);

interface Pending {
  bytes: Uint8Array;
  source?: Source;
  done: WriteDone;
  calls: number;
}

/** Runs the steps and checks after each that the sink has a prefix of what was accepted, and that `done` comes once. */
class Run {
  readonly sink = new Sink();
  readonly half = new SendHalf(this.sink as unknown as Transport, 0);
  /** One element for each write. */
  private accepted: Uint8Array[] = [];
  private readonly pending: Pending[] = [];
  private next = 0;

  apply(each: Step): void {
    if (each.kind === "write") this.write(each.length);
    else if (each.kind === "writeNow") this.writeNow(each.length);
    else if (each.kind === "room") this.giveRoom(each.bytes);
    else if (each.kind === "cancel") this.cancel(each.index);
    else if (each.kind === "file") this.writeFile(each);
    else if (each.kind === "wake") this.wake();
    else if (each.kind === "end") this.half.end(null);
    else this.half.fail(new Error("failed"));
    assert.deepEqual(this.sink.taken, this.acceptedBytes().slice(0, this.sink.taken.length));
    assert.equal(this.half.bytesWritten, this.sink.taken.length);
    for (const { calls, source } of this.pending) {
      assert.ok(calls <= 1);
      if (source !== undefined) assert.equal(source.closed, calls, "closed when it is over");
    }
  }

  /** With all the room there is, everything accepted goes out, unless the stream failed. */
  settle(): void {
    this.giveRoom(1e6);
    for (let i = 0; i < 1e5 && this.pending.some(({ source }) => source?.state === FILE_PENDING); i++) this.wake();
    if (this.half.error === null) {
      assert.deepEqual(this.sink.taken, this.acceptedBytes());
      assert.equal(this.sink.fin, this.half.ended);
    }
    for (const { calls } of this.pending) assert.equal(calls, 1);
  }

  private acceptedBytes(): number[] {
    return this.accepted.flatMap((bytes) => [...bytes]);
  }

  private make(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.next++ & 0xff);
  }

  private write(length: number): void {
    const bytes = this.make(length);
    const entry: Pending = { bytes, calls: 0, done: () => entry.calls++ };
    if (this.half.isOpen) this.accepted.push(bytes);
    this.pending.push(entry);
    this.half.write(bytes, false, entry.done);
  }

  private writeNow(length: number): void {
    const bytes = this.make(length);
    const given = bytes.slice();
    if (this.half.writeNow(given)) this.accepted.push(bytes);
    given.fill(0xee); // copied: the caller may use its buffer again
  }

  /** A file that fails before its first byte leaves the stream as it was; later, it fails the stream, as `sendFile` does. */
  private writeFile({ length, piece, failsAt }: Step & { kind: "file" }): void {
    const bytes = this.make(length);
    const isOpen = this.half.isOpen;
    const entry: Pending = { bytes, calls: 0, done: () => {} };
    entry.done = (error) => {
      entry.calls++;
      const given = entry.source?.givenBytes ?? 0;
      if (error === null || !isOpen) return;
      if (given === 0) this.accepted = this.accepted.filter((each) => each !== bytes);
      else this.half.fail(error);
    };
    if (isOpen) this.accepted.push(bytes);
    this.pending.push(entry);
    this.half.writeFrom((onReady) => {
      entry.source = new Source(bytes, piece, failsAt, onReady);
      return entry.source;
    }, entry.done);
  }

  private wake(): void {
    for (const { source } of this.pending) source?.wake();
  }

  private giveRoom(bytes: number): void {
    this.sink.room += bytes;
    if (!this.sink.owes || bytes === 0) return;
    this.sink.owes = false;
    this.half.onWritable();
  }

  private cancel(index: number): void {
    const entry = this.pending.filter(({ calls }) => calls === 0)[index];
    if (entry === undefined || !this.half.cancel(entry.done)) return;
    entry.calls = 1;
    this.accepted = this.accepted.filter((bytes) => bytes !== entry.bytes);
  }
}

describe("the sending half", () => {
  test("hands every accepted byte over once and in order, and calls back once", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const run = new Run();
        for (const each of steps) run.apply(each);
        run.settle();
      }),
      { numRuns: 300 },
    );
  });
});
