import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "../failure.js";
import { type ClientOptions, type ClientReport, runClient } from "./client.js";
import { type Faults, type MemoryLink, memoryLinks } from "./memory-link.contract.js";
import { Control } from "./protocol.js";
import { inspectSource, Sender } from "./sender.js";
import { runServer, type ServerOptions } from "./server.js";

const root = mkdtempSync(join(tmpdir(), "netquic-cli-test-"));
after(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;

interface Bench {
  source: string;
  serverDir: string;
  clientDir: string;
}

function bench(): Bench {
  const base = join(root, String(folders++));
  const dirs = { source: join(base, "source"), serverDir: join(base, "server"), clientDir: join(base, "client") };
  for (const dir of Object.values(dirs)) mkdirSync(dir, { recursive: true });
  return dirs;
}

interface Played {
  client: PromiseSettledResult<ClientReport>;
  server: PromiseSettledResult<unknown>;
  links: { client: MemoryLink; server: MemoryLink };
}

interface Play {
  dirs: Bench;
  names: string[];
  faults?: Faults;
  prepare?: (links: Played["links"]) => void;
  client?: Partial<ClientOptions>;
  server?: Partial<ServerOptions>;
}

/** Runs a transfer of the files `names` of the source folder in memory. */
async function play({ dirs, names, faults, prepare, client = {}, server = {} }: Play): Promise<Played> {
  const links = memoryLinks(faults);
  prepare?.(links);
  const files = await Promise.all(names.map((name) => inspectSource(join(dirs.source, name))));
  const common = { runId: "0badcafe", force: false, streams: 4, signal: new AbortController().signal };
  const [clientEnd, serverEnd] = await Promise.allSettled([
    runClient(links.client, { ...common, files, dir: dirs.clientDir, onProgress: () => {}, ...client }),
    runServer(links.server, { ...common, dir: dirs.serverDir, ...server }),
  ]);
  return { client: clientEnd, server: serverEnd, links };
}

function failureOf(end: PromiseSettledResult<unknown>): Failure {
  assert.equal(end.status, "rejected");
  assert.ok(end.reason instanceof Failure, String(end.reason));
  return end.reason;
}

function sha256(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function nothingArrived({ serverDir, clientDir }: Bench): void {
  assert.deepEqual(readdirSync(serverDir), []);
  assert.deepEqual(readdirSync(clientDir), []);
}

describe("a transfer in memory", () => {
  test("files of all sizes arrive on both sides, under their names and nothing else", async () => {
    const dirs = bench();
    const sizes = { empty: 0, one: 1, "odd.bin": 4_321_987, "exact.bin": 4 << 20, "ünïcode name.txt": 70_000 };
    for (const [name, size] of Object.entries(sizes)) writeFileSync(join(dirs.source, name), randomBytes(size));
    const played = await play({ dirs, names: Object.keys(sizes) });
    assert.equal(played.server.status, "fulfilled");
    assert.equal(played.client.status, "fulfilled");
    for (const dir of [dirs.serverDir, dirs.clientDir]) {
      assert.deepEqual(readdirSync(dir).sort(), Object.keys(sizes).sort());
      for (const name of Object.keys(sizes)) assert.equal(sha256(join(dir, name)), sha256(join(dirs.source, name)));
    }
    const { value } = played.client as PromiseFulfilledResult<ClientReport>;
    const total = Object.values(sizes).reduce((sum, size) => sum + size, 0);
    assert.equal(value.totalBytes, total);
    assert.equal(value.server.receivedBytes, total);
  });

  test("no more streams are open than asked for, and a large file uses them all", async () => {
    const dirs = bench();
    writeFileSync(join(dirs.source, "large"), randomBytes(6 << 20));
    for (let i = 0; i < 20; i++) writeFileSync(join(dirs.source, `small${i}`), randomBytes(1000));
    const played = await play({
      dirs,
      names: readdirSync(dirs.source),
      client: { streams: 3 },
      server: { streams: 2 },
    });
    assert.equal(played.client.status, "fulfilled");
    assert.equal(played.links.client.maxOpenStreams, 3);
    assert.equal(played.links.server.maxOpenStreams, 2);
  });

  test("a file that comes back before it is closed here is the file that was sent", async (t) => {
    const dirs = bench();
    writeFileSync(join(dirs.source, "small"), "content");
    const { send } = Sender.prototype;
    t.mock.method(Sender.prototype, "send", async function (this: Sender, ...args: Parameters<Sender["send"]>) {
      const sha256 = await send.apply(this, args); // the peer has been told
      await sleep(100);
      return sha256;
    });
    const played = await play({ dirs, names: ["small"] });
    assert.deepEqual([played.client.status, played.server.status], ["fulfilled", "fulfilled"]);
    assert.equal(readFileSync(join(dirs.clientDir, "small"), "utf8"), "content");
  });

  test("a byte that changes on the way is found by the hash, and no file is left", async () => {
    for (const breaksServer of [true, false]) {
      const dirs = bench();
      writeFileSync(join(dirs.source, "a"), randomBytes(100_000));
      let done = false;
      const onChunk = (chunk: Uint8Array, fromServer: boolean) => {
        if (done || fromServer === breaksServer || chunk.length < 1000) return;
        chunk[500] = (chunk[500] as number) ^ 1;
        done = true;
      };
      const played = await play({ dirs, names: ["a"], faults: { onChunk } });
      const [own, other] = breaksServer ? [played.server, played.client] : [played.client, played.server];
      assert.match(failureOf(own).message, /^a arrived damaged: its SHA-256 is [0-9a-f]{64}/);
      assert.equal(failureOf(own).byPeer, false);
      assert.match(failureOf(other).message, /the peer gave up: a arrived damaged/);
      assert.equal(failureOf(other).byPeer, true);
      assert.deepEqual(readdirSync(dirs.clientDir), []);
      // What the server had verified before the way back broke stays.
      assert.deepEqual(readdirSync(dirs.serverDir), breaksServer ? [] : ["a"]);
    }
  });

  test("an existing file is kept, and said before anything is sent; --force replaces it", async () => {
    const dirs = bench();
    writeFileSync(join(dirs.source, "a"), "new");
    writeFileSync(join(dirs.serverDir, "a"), "old");
    let chunks = 0;
    const played = await play({ dirs, names: ["a"], faults: { onChunk: () => chunks++ } });
    assert.match(failureOf(played.server).message, /server\/a exists already/);
    assert.equal(chunks, 0);
    assert.equal(readFileSync(join(dirs.serverDir, "a"), "utf8"), "old");

    const forced = await play({ dirs, names: ["a"], server: { force: true } });
    assert.equal(forced.client.status, "fulfilled");
    assert.equal(readFileSync(join(dirs.serverDir, "a"), "utf8"), "new");
  });

  test("a file that appears under the name during the transfer is kept", async () => {
    const dirs = bench();
    writeFileSync(join(dirs.source, "a"), randomBytes(300_000));
    const onChunk = () => writeFileSync(join(dirs.serverDir, "a"), "mine");
    const played = await play({ dirs, names: ["a"], faults: { onChunk } });
    assert.match(failureOf(played.server).message, /exists already/);
    assert.equal(readFileSync(join(dirs.serverDir, "a"), "utf8"), "mine");
    assert.deepEqual(readdirSync(dirs.serverDir), ["a"]);
  });

  test("a file that grows, shrinks or is rewritten while it is read ends the transfer", async () => {
    const changes: ((path: string) => void)[] = [
      (path) => appendFileSync(path, "more"),
      (path) => writeFileSync(path, "less"),
      (path) => writeFileSync(path, randomBytes(3 << 20)),
    ];
    for (const change of changes) {
      const dirs = bench();
      const path = join(dirs.source, "a");
      writeFileSync(path, randomBytes(3 << 20));
      let changed = false;
      const onChunk = () => {
        if (!changed) change(path);
        changed = true;
      };
      const played = await play({ dirs, names: ["a"], faults: { onChunk } });
      assert.match(failureOf(played.client).message, /changed while it was read/);
      assert.equal(failureOf(played.server).byPeer, true);
      nothingArrived(dirs);
    }
  });

  test("a lost connection ends both sides with its reason and without a file", async () => {
    const dirs = bench();
    writeFileSync(join(dirs.source, "a"), randomBytes(3 << 20));
    let chunks = 0;
    let lose = () => {};
    const onChunk = () => {
      if (++chunks === 5) lose();
    };
    const played = await play({
      dirs,
      names: ["a"],
      faults: { onChunk },
      prepare: ({ client, server }) => {
        lose = () => [client, server].forEach((link) => link.breakOff(new Failure("the peer went silent")));
      },
    });
    assert.equal(failureOf(played.client).message, "the peer went silent");
    assert.equal(failureOf(played.server).message, "the peer went silent");
    nothingArrived(dirs);
  });

  test("the caller's signal ends a transfer with its reason and without a file", async () => {
    const dirs = bench();
    writeFileSync(join(dirs.source, "a"), randomBytes(3 << 20));
    const controller = new AbortController();
    let chunks = 0;
    const onChunk = () => {
      if (++chunks === 5) controller.abort(new Failure("interrupted (SIGINT)", { exitCode: 130 }));
    };
    const played = await play({ dirs, names: ["a"], faults: { onChunk }, client: { signal: controller.signal } });
    assert.equal(failureOf(played.client).exitCode, 130);
    assert.match(failureOf(played.server).message, /the peer gave up: interrupted/);
    nothingArrived(dirs);
  });
});

/** A server against a client that this test plays by hand: `lines` on the control stream, then `range`
 *  on a stream, where null ends one and begins the next. */
async function againstServer(lines: string[], range: (Buffer | null)[] = []): Promise<{ dirs: Bench; error: Failure }> {
  const dirs = bench();
  const links = memoryLinks();
  const options = {
    dir: dirs.serverDir,
    runId: "0badcafe",
    force: false,
    streams: 4,
    signal: new AbortController().signal,
  };
  const ended = runServer(links.server, options);
  ended.catch(() => {});
  const { sink, source } = await links.client.control();
  for (const line of lines) await sink.write(Buffer.from(`${line}\n`));
  if (range.length > 0) {
    await new Control({ sink, source }).messages().next(); // ready
    let stream = await links.client.openUni();
    for (const part of range) {
      if (part !== null) await stream.write(part).catch(() => {});
      else {
        await stream.end();
        stream = await links.client.openUni();
      }
    }
  } else await sink.end();
  const error = await ended.then(
    () => assert.fail("the server was content"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Failure, String(error));
  assert.equal(existsSync(join(dirs.serverDir, "a")), false);
  assert.deepEqual(readdirSync(dirs.serverDir), []);
  return { dirs, error };
}

const HELLO = '{"type":"hello","version":1}';
const offerOf = (name: string, size = 100) => [
  HELLO,
  JSON.stringify({ type: "file", name, size }),
  '{"type":"offered","count":1}',
];

function header(file: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.write("nqR1", 0, "latin1");
  bytes.writeUInt32BE(file, 4);
  bytes.writeUIntBE(offset, 8, 6);
  bytes.writeUIntBE(length, 14, 6);
  return bytes;
}

describe("a server whose client does not keep to the protocol", () => {
  test("names that would leave the folder are refused", async () => {
    for (const name of ["../a", "/etc/a", "..", ".", "", "a/b", "a\\b", "a\0b", "x".repeat(256)]) {
      const { error } = await againstServer(offerOf(name));
      assert.match(error.message, /^the file name ".*" is refused/);
    }
  });

  test("two files of one name are refused", async () => {
    const file = '{"type":"file","name":"a","size":1}';
    const { error } = await againstServer([HELLO, file, file, '{"type":"offered","count":2}']);
    assert.match(error.message, /two of the files are called a/);
  });

  test("more than the disk holds is refused at once", async () => {
    const { error } = await againstServer(offerOf("a", 2 ** 52));
    assert.match(error.message, /the files need 4.00 PiB, .* are free/);
  });

  test("messages that are malformed, unknown, out of order or endless are refused", async () => {
    const wrong = ["no JSON", "[]", "3", '{"type":"nothing"}', '{"type":"hello","version":-1}', "x".repeat(9000)];
    for (const line of wrong) assert.match((await againstServer([line])).error.message, /transfer protocol/);
    const early = await againstServer(['{"type":"offered","count":0}']);
    assert.match(early.error.message, /did not say what it sends/);
    const other = await againstServer(['{"type":"hello","version":2}']);
    assert.match(other.error.message, /version 2 of the transfer protocol, not 1/);
  });

  test("ranges outside a file, of no file, too long, too short or twice are refused", async () => {
    const bytes = Buffer.alloc(100);
    const ranges: [RegExp, (Buffer | null)[]][] = [
      [/outside the file/, [header(0, 50, 51), null]],
      [/had not offered/, [header(1, 0, 10), null]],
      [/more than the range/, [header(0, 0, 10), bytes, null]],
      [
        /sent a part of it twice/,
        [header(0, 0, 60), bytes.subarray(0, 60), null, header(0, 0, 60), bytes.subarray(0, 60)],
      ],
      [/before its range was complete/, [header(0, 0, 100), bytes.subarray(1), null]],
      [/inside its header/, [header(0, 0, 100).subarray(0, 19), null]],
      [/does not start with a range/, [Buffer.alloc(20), null]],
    ];
    for (const [message, range] of ranges) {
      const { error } = await againstServer(offerOf("a"), range);
      assert.match(error.message, message);
    }
  });
});
