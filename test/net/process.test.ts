/** What is left when sockets have come and gone: nothing that keeps a process alive, no object, no key. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { queryObjects } from "node:v8";
import { Channel } from "#src/api/net/channel.js";
import { connect, createServer, NetSession, QuicSocket } from "#src/api/net/index.js";
import { Link } from "#src/api/net/link.js";
import { Connection } from "#src/conn/connection.js";
import { echo, portOf, readAll, testCa, testLeaf } from "./support.js";
import { untilEqual } from "../support/wait.js";

const PROGRAM = fileURLToPath(new URL("./program.js", import.meta.url));
const SOCKETS = 12;
const LIMIT_MILLIS = 120_000;

process.removeAllListeners("warning"); // queryObjects is experimental

describe("processes", () => {
  for (const [what, printed] of [
    ["whole", "100000\n"],
    ["session", "open\nclosed\n"],
    ["unref", "connected\n"],
  ] as const) {
    test(`one that is done ends by itself: ${what}`, async () => {
      const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, what], { timeout: 60_000 });
      assert.equal(stdout, printed);
    });
  }
});

function live(): Record<string, number> {
  const kinds = [Connection, Link, Channel, QuicSocket, NetSession];
  return Object.fromEntries(kinds.map((kind) => [kind.name, queryObjects(kind, { format: "count" })]));
}

async function comeAndGo(port: number, how: number): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1", ca: testCa().cert });
  await once(socket, "connect");
  const other = socket.session?.connect() ?? assert.fail();
  other.on("error", () => {});
  await once(other, "connect");
  if (how % 3 === 0) {
    socket.end("to the end");
    await readAll(socket);
  } else if (how % 3 === 1) {
    socket.write("and away");
    socket.destroy();
  } else {
    socket.on("error", () => {});
    socket.destroy(new Error("given up"));
  }
  socket.session?.destroy();
}

test("nothing is left of sockets that came and went", { timeout: 150_000 }, async () => {
  const { cert, key } = testLeaf();
  const server = createServer({ cert, key, allowHalfOpen: true }, echo);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await Promise.all(Array.from({ length: SOCKETS }, (_, at) => comeAndGo(portOf(server), at)));
    const none = { Connection: 0, Link: 0, Channel: 0, QuicSocket: 0, NetSession: 0 };
    await untilEqual(live, none, LIMIT_MILLIS);
  } finally {
    await server[Symbol.asyncDispose]();
  }
});
