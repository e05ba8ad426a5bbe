/** The contract of port/file, run against an implementation. */

import assert from "node:assert/strict";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import {
  FILE_ENDED,
  FILE_FAILED,
  FILE_PENDING,
  FILE_READY,
  type FilePort,
  type FileRange,
  type FileSource,
  type OpenFile,
} from "../port/file.js";
import { FILE_FETCH_BYTES } from "../proto/limits.js";

const ALL: FileRange = { offset: 0, length: null };

export function pattern(length: number): Uint8Array {
  return new Uint8Array(length).map((_, i) => (i * 31) ^ (i >> 9));
}

/** Reads in pieces of up to `step` bytes until the source is over. */
async function readAll(files: FilePort, file: OpenFile, range: FileRange, step = 100_000): Promise<FileSource & Taken> {
  const into = new Uint8Array(step + 2).fill(0xee);
  const taken: Uint8Array[] = [];
  let wake = (): void => {};
  const source = files.open(file, range, () => wake());
  while (source.state === FILE_READY || source.state === FILE_PENDING) {
    assert.ok(source.wantedBytes > 0);
    const count = source.read(into, 1, step + 1);
    assert.ok(count >= 0 && count <= step);
    taken.push(into.slice(1, 1 + count));
    if (source.state === FILE_PENDING) await new Promise<void>((resolve) => (wake = resolve));
    assert.deepEqual([into[0], into[step + 1]], [0xee, 0xee], "nothing outside of the room");
  }
  assert.equal(source.read(into, 0, step), 0, "nothing after the end");
  source.close();
  source.close();
  return Object.assign(source, { bytes: new Uint8Array(Buffer.concat(taken)) });
}

interface Taken {
  bytes: Uint8Array;
}

function codeOf(source: FileSource): unknown {
  return (source.error as { code?: unknown } | null)?.code;
}

/** Descriptors of what is at `path`: the process opens and closes others when it likes. */
function openAt(path: string): number {
  const targets = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // the descriptor of the folder itself
    }
  });
  return targets.filter((target) => target === path).length;
}

export function fileContract(name: string, make: () => FilePort): void {
  describe(`port/file: ${name}`, () => {
    const dir = mkdtempSync(join(tmpdir(), "netquic-file-"));
    after(() => rmSync(dir, { recursive: true }));
    const path = join(dir, "data");
    const data = pattern(3 * FILE_FETCH_BYTES + 4567);
    writeFileSync(path, data);
    const files = make();

    async function withFile<T>(work: (handle: FileHandle) => Promise<T>, flags = "r", at = path): Promise<T> {
      const handle = await open(at, flags);
      try {
        return await work(handle);
      } finally {
        await handle.close();
      }
    }

    test("a range comes whole and in order, by descriptor and by handle, whatever the room", () =>
      withFile(async (handle) => {
        for (const file of [handle, handle.fd]) {
          for (const [offset, length] of [
            [0, data.length],
            [1, 1],
            [12_345, 600_001],
            [data.length - 1, 1],
          ] as const) {
            for (const step of [1000, 1 << 20]) {
              const source = await readAll(files, file, { offset, length }, step);
              assert.equal(source.state, FILE_ENDED);
              assert.equal(source.givenBytes, length);
              assert.equal(Buffer.compare(source.bytes, data.subarray(offset, offset + length)), 0);
            }
          }
        }
      }));

    test("without a length it ends where the file does", () =>
      withFile(async (handle) => {
        for (const offset of [0, 77, data.length, data.length + 5]) {
          const source = await readAll(files, handle, { offset, length: null });
          assert.equal(source.state, FILE_ENDED);
          assert.equal(Buffer.compare(source.bytes, data.subarray(offset)), 0);
        }
      }));

    test("an empty range is over at once and reads nothing", async () => {
      const source = files.open(2 ** 30, { offset: 0, length: 0 }, () => assert.fail());
      assert.deepEqual([source.state, source.error], [FILE_ENDED, null]);
      source.close();
    });

    test("offset null reads on from where the file stands, and moves that", () =>
      withFile(async (handle) => {
        assert.deepEqual((await readAll(files, handle, { offset: null, length: 10 })).bytes, data.slice(0, 10));
        assert.deepEqual((await readAll(files, handle, { offset: null, length: 10 })).bytes, data.slice(10, 20));
        const rest = await readAll(files, handle, { offset: null, length: null });
        assert.equal(Buffer.compare(rest.bytes, data.subarray(20)), 0);
      }));

    test("what the system makes up as it is read comes whole, too", () =>
      withFile(
        async (handle) => {
          const source = await readAll(files, handle, ALL);
          assert.equal(source.state, FILE_ENDED);
          assert.match(Buffer.from(source.bytes).toString(), /^Name:\t[^]*\nPid:\t\d+\n[^]*nonvoluntary_ctxt_switches/);
        },
        "r",
        "/proc/self/status",
      ));

    test("a file that is shorter than was promised fails after its last byte", async () => {
      const short = join(dir, "short");
      writeFileSync(short, data.subarray(0, 1000));
      const source = await withFile((handle) => readAll(files, handle, { offset: 10, length: 991 }), "r", short);
      assert.equal(source.state, FILE_FAILED);
      assert.equal(codeOf(source), "ERR_NETQUIC_FILE_TRUNCATED");
      assert.match(String(source.error), /after 990 of 991 bytes/);
      assert.deepEqual(source.bytes, data.slice(10, 1000));
    });

    test("a file that is cut off while it is read fails", async () => {
      const cut = join(dir, "cut");
      writeFileSync(cut, data);
      await withFile(
        async (handle) => {
          const into = new Uint8Array(1000);
          let wake = (): void => {};
          const source = files.open(handle, { offset: 0, length: data.length }, () => wake());
          while (source.givenBytes < 1000) {
            source.read(into, source.givenBytes, 1000);
            if (source.state === FILE_PENDING) await new Promise<void>((resolve) => (wake = resolve));
          }
          ftruncateSync(handle.fd, 1000);
          // what was read ahead is still good
          while (source.state === FILE_READY || source.state === FILE_PENDING) {
            source.read(into, 0, 1000);
            if (source.state === FILE_PENDING) await new Promise<void>((resolve) => (wake = resolve));
          }
          assert.deepEqual([source.state, codeOf(source)], [FILE_FAILED, "ERR_NETQUIC_FILE_TRUNCATED"]);
        },
        "r+",
        cut,
      );
    });

    test("what cannot be read is the system's error", async () => {
      const folder = await withFile((handle) => readAll(files, handle, ALL), "r", dir);
      assert.deepEqual([folder.state, codeOf(folder)], [FILE_FAILED, "EISDIR"]);
      const writeOnly = await withFile((handle) => readAll(files, handle, { offset: 0, length: 5 }), "w", `${path}-w`);
      assert.deepEqual([writeOnly.state, codeOf(writeOnly)], [FILE_FAILED, "EBADF"]);
      for (const length of [null, 5]) {
        const noFile = await readAll(files, 1_000_000, { offset: 0, length });
        assert.deepEqual([noFile.state, codeOf(noFile)], [FILE_FAILED, "EBADF"]);
        const handle = await open(path);
        await handle.close();
        const closed = await readAll(files, handle, { offset: 0, length });
        assert.deepEqual([closed.state, codeOf(closed)], [FILE_FAILED, "EBADF"]);
      }
    });

    test("descriptors stay open, and none is left over", async () => {
      assert.equal(openAt(path), 0);
      const fd = openSync(path, "r");
      for (let i = 0; i < 10; i++) {
        const source = files.open(fd, { offset: i, length: null }, () => assert.fail("it was closed"));
        source.read(new Uint8Array(100), 0, 100);
        source.close();
      }
      assert.equal((await readAll(files, fd, ALL)).bytes.length, data.length);
      assert.equal(openAt(path), 1);
      closeSync(fd);
      await readAll(files, 1_000_000, ALL);
      assert.equal(openAt(path), 0);
    });

    test("a file that grows is read up to where it ends by then", async () => {
      const growing = join(dir, "growing");
      writeFileSync(growing, data.subarray(0, 5000));
      await withFile(
        async (handle) => {
          let wake = (): void => {};
          const source = files.open(handle, ALL, () => wake());
          const into = new Uint8Array(20_000);
          for (let grown = false; source.state !== FILE_ENDED; ) {
            source.read(into, source.givenBytes, into.length);
            if (source.state === FILE_PENDING) await new Promise<void>((resolve) => (wake = resolve));
            if (source.givenBytes === 5000 && !grown) {
              grown = writeSync(handle.fd, data, 5000, 5000, 5000) === 5000;
            }
          }
          assert.deepEqual(into.subarray(0, source.givenBytes), data.subarray(0, 10_000));
          source.close();
        },
        "r+",
        growing,
      );
    });
  });
}
