/** What the control socket of a program shows of its endpoints, and what it does with those who ask too much. */

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { connect as connectUnix } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { askProgram, runtimeDirs, surveyPrograms } from "#src/api/control/client.js";
import { openControlSocket } from "#src/api/control/control-socket.js";
import type { Program } from "#src/api/control/client.js";
import type { QuicSession } from "#src/api/quic/index.js";
import {
  CONTROL_PAGE_SOCKETS,
  MAX_CONTROL_CONNECTIONS,
  MAX_CONTROL_REQUEST_BYTES,
  MAX_CONTROL_REQUESTS,
  MAX_SURVEY_SOCKETS,
} from "#src/proto/limits.js";
import { connectFramed, FramedSocket, listenFramed } from "#src/runtime/framed-socket.js";
import { ALPN, addressOf, echo, pause, readAll, until, withBench } from "./support.js";

const dir = mkdtempSync(join(tmpdir(), "netquic-control-"));
process.env["NETQUIC_RUNTIME_DIR"] = dir;
after(() => rmSync(dir, { recursive: true, force: true }));

const WIDE = { maxFrameBytes: 2 ** 24, maxQueuedBytes: 2 ** 24 };

/** What `look` finds while a connection is there. */
async function withSockets<T>(look: () => Promise<T>): Promise<T> {
  let found!: T;
  await withBench(async (bench) => {
    await bench.pair();
    found = await look();
  })();
  return found;
}

async function ask(details = true): Promise<Program> {
  const { programs, failures } = await surveyPrograms(runtimeDirs(), { ask: "sockets", details });
  assert.deepEqual(failures, []);
  assert.equal(programs.length, 1);
  return programs[0] as Program;
}

/** A connection to our own control socket, with what came and whether it ended. */
async function asker(): Promise<{ framed: FramedSocket; frames: Record<string, unknown>[]; ended: () => boolean }> {
  const path = await openControlSocket();
  assert.ok(path !== null);
  const frames: Record<string, unknown>[] = [];
  let isOver = false;
  const framed = connectFramed(path, WIDE, {
    onFrame: (frame) => frames.push(JSON.parse(Buffer.from(frame).toString())),
    onEnd: () => (isOver = true),
  });
  return { framed, frames, ended: () => isOver };
}

/** What `look` finds while no packet of these sessions moves. */
async function atRest<T>(sessions: readonly QuicSession[], look: () => Promise<T>): Promise<T> {
  const moved = (): string => sessions.map(({ stats }) => `${stats.bytesSent} ${stats.bytesReceived}`).join();
  for (;;) {
    await pause(50);
    const before = moved();
    const found = await look();
    if (moved() === before) return found;
  }
}

function question(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

describe("what a control socket shows", () => {
  test(
    "a listener and both ends of a connection, with the counters that the program itself reads",
    withBench(async (bench) => {
      const { client, server, endpoint } = await bench.pair();
      echo(server);
      const stream = await client.createBidirectionalStream({ body: new Uint8Array(50_000) });
      await readAll(stream);
      const { info, sockets, counters } = await atRest([client, server], ask);
      assert.deepEqual([info.pid, info.uid, info.name], [process.pid, process.geteuid?.(), "control.test.js"]);
      const [listener, ...ends] = sockets;
      assert.deepEqual([listener?.state, listener?.local, listener?.alpn], ["LISTEN", addressOf(endpoint), [ALPN]]);
      assert.deepEqual(
        ends.map(({ role, state, alpn }) => [role, state, alpn]),
        [
          ["server", "ESTAB", [ALPN]],
          ["client", "ESTAB", [ALPN]],
        ],
      );
      for (const session of [server, client]) {
        const end = ends.find(({ role }) => (role === "server") === (session === server));
        const { stats } = session;
        assert.equal(BigInt(end?.details?.stats.bytesSent ?? 0), stats.bytesSent);
        assert.equal(BigInt(end?.details?.stats.bytesReceived ?? 0), stats.bytesReceived);
        assert.equal(BigInt(end?.cwndBytes ?? 0), stats.cwnd);
      }
      assert.deepEqual(
        [counters.QuicConnCurrentEstabs, counters.QuicConnPassiveEstabs, counters.QuicConnActiveEstabs],
        [2, 1, 1],
      );
      const inodes = new Set(sockets.map(({ inode }) => inode));
      assert.equal(inodes.size, 3);
      assert.deepEqual(new Set((await ask(false)).sockets.map(({ inode }) => inode)), inodes);
      assert.equal((await ask(false)).sockets[1]?.details, undefined);
    }),
  );

  test("counters of endpoints that are closed stay, their sockets go", async () => {
    let { counters, sockets } = await ask();
    // those that have just closed answer late packets for a while (RFC 9000 §10.2)
    for (let i = 0; i < 1000 && sockets.length > 0; i++) {
      assert.ok(sockets.every(({ state }) => state === "CLOSING" || state === "TIME-WAIT"));
      await pause(50);
      ({ counters, sockets } = await ask());
    }
    assert.deepEqual(sockets, []);
    assert.deepEqual([counters.QuicConnCurrentEstabs, counters.QuicConnActiveEstabs], [0, 1]);
    assert.ok(counters.QuicFrmOutCloses > 0 && counters.QuicPktEncFastpaths > 50);
  });

  test("more sockets than one message takes come in pages", async () => {
    await withBench(async (bench) => {
      const endpoint = await bench.serve(() => {});
      for (let i = 0; i < CONTROL_PAGE_SOCKETS; i++) await (await bench.connect(endpoint)).opened;
      const { framed, frames } = await asker();
      framed.send(question('{"ask":"sockets"}'));
      await until(() => frames.some((frame) => frame["end"] === true));
      const pages = frames.filter(({ sockets }) => Array.isArray(sockets)).map(({ sockets }) => (sockets as []).length);
      const total = 2 * CONTROL_PAGE_SOCKETS + 1;
      assert.deepEqual(pages, [CONTROL_PAGE_SOCKETS, CONTROL_PAGE_SOCKETS, total - 2 * CONTROL_PAGE_SOCKETS]);
      framed.destroy();
    })();
  });
});

describe("what an asker believes", () => {
  /** A program that answers every question with these messages. */
  async function liar(...messages: unknown[]): Promise<{ path: string; close: () => void }> {
    const path = join(dir, "liar.sock");
    const server = await listenFramed({
      path,
      maxConnections: 4,
      onConnection: (socket) => {
        const framed = new FramedSocket(socket, WIDE, {
          onFrame: () => messages.forEach((each) => framed.send(question(JSON.stringify(each)))),
          onEnd: () => {},
        });
      },
      onError: () => {},
    });
    return { path, close: () => server.close() };
  }

  async function told(...messages: unknown[]): Promise<Program> {
    const { path, close } = await liar(...messages);
    try {
      return await askProgram(path, { ask: "sockets" });
    } finally {
      close();
    }
  }

  test("an answer without an end, piece by piece, is given up when its time is over", async () => {
    const path = join(dir, "drip.sock");
    let drip: NodeJS.Timeout | undefined;
    const server = await listenFramed({
      path,
      maxConnections: 1,
      onConnection: (socket) => {
        const framed = new FramedSocket(socket, WIDE, { onFrame: () => {}, onEnd: () => clearInterval(drip) });
        drip = setInterval(() => framed.send(question("{}")), 10);
      },
      onError: () => {},
    });
    await assert.rejects(askProgram(path, { ask: "sockets" }, 100), /no end of its answer in 0.1 s/);
    server.close();
  });

  test("rows that are none are left out, details that are none are taken off, and so are counters", async () => {
    const [row] = await withSockets(async () => (await ask()).sockets.filter(({ role }) => role === "client"));
    assert.ok(row?.details !== undefined);
    const wrong = [
      null,
      5,
      { ...row, state: "GONE" },
      { ...row, alpn: [1] },
      { ...row, local: 4 },
      { ...row, uid: "0" },
    ];
    const noDetails = [
      { ...row, details: { ...row.details, stats: {} } },
      { ...row, details: { ...row.details, version: "1" } },
      { ...row, details: { ...row.details, paths: [{}] } },
      { ...row, details: [] },
    ];
    const program = await told(
      { program: { pid: "x", name: 5 } },
      { sockets: [row, ...wrong, ...noDetails] },
      { sockets: 5 },
      { end: true, counters: { QuicFrmRetrans: "5", QuicConnActiveEstabs: 7 } },
    );
    assert.deepEqual([program.info.pid, program.info.name], [0, ""]);
    assert.deepEqual(
      program.sockets.map(({ details }) => details !== undefined),
      [true, false, false, false, false],
    );
    assert.deepEqual([program.counters.QuicFrmRetrans, program.counters.QuicConnActiveEstabs], [0, 7]);
  });

  test("whose a program is says the folder, and a folder of somebody else's name is left alone", async () => {
    const pid = 2 ** 31 - 2; // nobody's
    const { close } = await liar({ program: { pid: 1, uid: 77, name: "me" } }, { end: true });
    renameSync(join(dir, "liar.sock"), join(dir, `${pid}.sock`));
    try {
      const { programs } = await surveyPrograms([dir], { ask: "program" });
      const { info } = programs.find(({ info: { name } }) => name === "me") as Program;
      assert.deepEqual([info.pid, info.uid], [pid, process.geteuid?.()]);
      const elsewhere = join(dir, "netquic-4294967294");
      mkdirSync(elsewhere, { mode: 0o700 });
      renameSync(join(dir, `${pid}.sock`), join(elsewhere, `${pid}.sock`));
      const { programs: none, failures } = await surveyPrograms([elsewhere], { ask: "program" });
      assert.deepEqual(none, []);
      assert.match(failures[0] ?? "", /belongs to user/);
    } finally {
      close();
    }
  });

  test("an answer that is none, or without a program, is a failure", async () => {
    await assert.rejects(told([]), /no JSON object/);
    await assert.rejects(told({ error: "not today" }), /not today/);
    await assert.rejects(told({ end: true }), /who it is/);
  });

  test("so many sockets of one program, and no more", async () => {
    const rows = (count: number): object => ({ sockets: new Array(count).fill(0) });
    const most = await told({ program: {} }, rows(MAX_SURVEY_SOCKETS), { end: true });
    assert.deepEqual(most.sockets, []);
    await assert.rejects(told({ program: {} }, rows(MAX_SURVEY_SOCKETS), rows(1), { end: true }), /more than/);
  });
});

describe("who may ask, and how much", () => {
  test("the socket is this user's alone", async () => {
    const path = (await openControlSocket()) ?? "";
    assert.equal(path, join(dir, `${process.pid}.sock`));
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  test("a question that is none, or too long, is the last", async () => {
    const long = `{"ask":"program","x":"${"x".repeat(MAX_CONTROL_REQUEST_BYTES)}"}`;
    for (const text of ["", "[]", "{", '{"ask":"secrets"}', long]) {
      const { framed, frames, ended } = await asker();
      framed.send(question(text));
      await until(ended);
      assert.equal(typeof frames[0]?.["error"], "string", text);
    }
    const path = (await openControlSocket()) ?? "";
    await assert.rejects(askProgram(path, { ask: "more" as "program" }), /no question of this program/);
    const exact = '{"ask":"program"}'.padEnd(MAX_CONTROL_REQUEST_BYTES);
    const { framed, frames } = await asker();
    framed.send(question(exact));
    await until(() => frames.length === 2);
    framed.destroy();
  });

  test("so many questions on one connection, and no more", async () => {
    const { framed, frames, ended } = await asker();
    for (let i = 0; i < MAX_CONTROL_REQUESTS; i++) framed.send(question('{"ask":"program"}'));
    await until(() => frames.length === 2 * MAX_CONTROL_REQUESTS);
    framed.send(question('{"ask":"program"}'));
    await until(ended);
    assert.deepEqual(frames.at(-1), { error: "too many questions" });
  });

  test("so many askers at once; the next is turned away, and others still get their answer", async () => {
    const path = (await openControlSocket()) ?? "";
    const sockets = Array.from({ length: MAX_CONTROL_CONNECTIONS }, () => connectUnix(path));
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
    await pause(20);
    await assert.rejects(askProgram(path, { ask: "program" }));
    sockets[0]?.destroy();
    // its place is free when the program has seen that it went
    let told: Program | null = null;
    for (let i = 0; i < 100 && told === null; i++) {
      await pause(20);
      told = await askProgram(path, { ask: "program" }).catch(() => null);
    }
    assert.equal(told?.info.pid, process.pid);
    for (const socket of sockets) socket.destroy();
  });
});
