/** `quic ss` and programs that answer badly, or not at all: what reaches the terminal, and the exit code. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, test } from "node:test";
import { noCounters } from "#src/api/control/counters.js";
import { encodeMessage, type ProgramInfo } from "#src/api/control/protocol.js";
import type { SocketRow } from "#src/api/control/rows.js";
import { controlName } from "#src/api/runtime-dir.js";
import { FramedSocket, type FramedServer, listenFramed } from "#src/runtime/framed-socket.js";
import { type Ended, makeFolder, startQuic } from "./run-quic.js";

const EVIL = "\x1b[31m\x9b2J\x9d\u202e\u2066\n";
const PROGRAM: ProgramInfo = {
  ...{ pid: process.pid, name: `name${EVIL}`, uid: 0, node: `node${EVIL}`, netquic: EVIL, tls: EVIL, datapath: EVIL },
  ...{ startedAtMillis: 0, rssBytes: 0 },
};
const ROW: SocketRow = {
  ...{ inode: 1, api: `api${EVIL}`, state: "ESTAB", role: "client", local: "127.0.0.1:1", remote: "127.0.0.1:2" },
  ...{ udp: `udp${EVIL}`, alpn: [`alpn${EVIL}`], serverNames: [EVIL], waiting: 0, backlog: 0, recvQueueBytes: 0 },
  ...{ sendQueueBytes: 0, recvBufferBytes: 0, sendBufferBytes: 0, heldBytes: 0, cwndBytes: 0, mssBytes: 0 },
  ...{ inFlightBytes: 0, uid: 0 },
};

describe("quic ss", () => {
  let folder: ReturnType<typeof makeFolder>;
  let server: FramedServer | null;

  beforeEach(() => {
    folder = makeFolder();
    server = null;
  });

  afterEach(() => {
    server?.close();
    folder.remove();
  });

  /** A program of this process's number; `deaf` ones end every connection. */
  async function answer(number: number, isDeaf: boolean): Promise<void> {
    server = await listenFramed({
      path: folder.path(controlName(process.pid, number)),
      maxConnections: 4,
      onConnection: (socket) => {
        const limits = { maxFrameBytes: 65536, maxQueuedBytes: 1 << 20 };
        const framed: FramedSocket = new FramedSocket(socket, limits, {
          onFrame: () => {
            if (isDeaf) return framed.destroy();
            framed.send(encodeMessage({ program: PROGRAM }));
            framed.send(encodeMessage({ sockets: [ROW] }));
            framed.send(encodeMessage({ end: true, counters: noCounters(), heldBytes: 0 }));
          },
          onEnd: () => {},
        });
      },
      onError: () => {},
    });
  }

  function ss(...args: string[]): Promise<Ended> {
    return startQuic(["ss", ...args], { NETQUIC_RUNTIME_DIR: folder.dir }).ended;
  }

  test("ends with 0 where there are no programs, and where one of two answers", async () => {
    assert.equal((await ss()).code, 0);
    await answer(0, false);
    writeFileSync(folder.path(controlName(process.pid, 1)), "");
    const { code, stderr } = await ss();
    assert.equal(code, 0);
    assert.match(stderr, /^quic ss: [^\n]+\n$/);
  });

  test("ends with 1 where programs were found and none answered", async () => {
    await answer(0, true);
    for (const args of [[], ["-j"], ["--proc", "snmp"]]) {
      const { code, stderr } = await ss(...args);
      assert.equal(code, 1, args.join(" "));
      assert.match(stderr, /^quic ss: [^\n]+\n$/);
    }
  });

  test("shows nothing of other programs that steers a terminal", async () => {
    await answer(0, false);
    for (const args of [["-ie"], ["-ap"], ["--proc", "conns"], ["-j"]]) {
      const { code, stdout } = await ss(...args);
      assert.equal(code, 0, args.join(" "));
      assert.equal(/[^\x20-\x7e\t\n]/.test(stdout), false, JSON.stringify(stdout));
    }
    const { programs } = JSON.parse((await ss("-j")).stdout) as { programs: ProgramInfo[] };
    assert.equal(programs[0]?.name, PROGRAM.name);
  });
});
