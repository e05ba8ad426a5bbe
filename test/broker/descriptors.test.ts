/** What a host passes on, and a host that may have no more descriptors. */

import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fstatSync, openSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Readable, Writable } from "node:stream";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { BROKER_VERSION } from "#src/broker/messages.js";
import type { UnixHandler } from "#src/runtime/native/unix-socket.js";
import { UNIX_ACCEPT_REST_MILLIS } from "#src/proto/limits.js";
import { RawProgram, send, shortPacket, udp } from "./raw-program.js";
import { TestHost, until } from "./support.js";

const POOR_HOST = fileURLToPath(new URL("poor-host.js", import.meta.url));
/** Enough to load all modules at once. */
const DESCRIPTORS = 1024;
/** For a process to start on a busy machine. */
const START_MILLIS = 60_000;
const TICKS_PER_SECOND = 100;
const WINDOW_MILLIS = 500;

class PoorHost {
  said = "";
  private readonly child: ChildProcessByStdio<Writable, Readable, null>;

  constructor() {
    const command = ["-c", `ulimit -n ${DESCRIPTORS}; exec "$@"`, "sh", process.execPath, POOR_HOST];
    this.child = spawn("sh", command, { stdio: ["pipe", "pipe", "inherit"] });
    this.child.stdout.on("data", (chunk: Buffer) => (this.said += chunk.toString()));
  }

  get port(): number {
    return Number(/^ready (\d+)/m.exec(this.said)?.[1]);
  }

  /** Once it is ready. */
  get path(): string {
    return /^ready \d+ (.*)$/m.exec(this.said)?.[1] as string;
  }

  /** How often it said that it can accept nobody. */
  get waits(): number {
    return this.said.split("programs have to wait: accept EMFILE").length - 1;
  }

  /** What it used of the processor since it began, in user space and in the kernel. */
  get cpuMillis(): number {
    const fields = readFileSync(`/proc/${this.child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
  }

  /** It has no descriptors more, or has them again. */
  async turn(answer: "taken" | "freed"): Promise<void> {
    this.child.stdin.write("\n");
    await until(() => this.said.includes(answer));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
    if (this.said.includes("ready")) rmSync(dirname(this.path), { recursive: true });
  }
}

test("a socket that waits to be passed on when its port is closed is passed on, not what has its number next", async () => {
  using host = await new TestHost().start();
  clearInterval(host.host["tendTimer"]); // who does not read is not detached
  using program = new RawProgram(host);
  await program.hello();
  const { onMessage } = program.socket["handler"] as UnixHandler;
  program.deafen();
  const wanted = { alpn: ["x"], serverNames: [], reusePort: false, retry: false };
  for (let id = 10; host.host.queuedBytes === 0; id++) {
    program.say({ op: "listen", id, bind: 0, wanted });
    if (id % 32 === 0) await sleep(0);
  }
  program.say({ op: "bind", id: 1, place: { address: "127.0.0.1", port: 0, ipv6Only: false }, index: -1 });
  await until(() => host.host.places.length === 1);
  program.say({ op: "unbind", id: 1 });
  await until(() => host.host.places.length === 0);
  const files = Array.from({ length: 8 }, () => openSync("/dev/null", "r"));
  const passed: boolean[] = [];
  program.socket.start({
    onMessage: (bytes, fds) => {
      for (const fd of fds) passed.push(fstatSync(fd).isSocket());
      onMessage(bytes, fds);
    },
    onClosed() {},
  });
  await until(() => program.replies.some((reply) => reply.op === "done" && reply.id === 1));
  assert.deepEqual(passed, [true, true]); // its own, and the host's to be kept
  for (const file of files) closeSync(file);
});

describe("a host without free descriptors", () => {
  test("rests, says so once, serves who is there, and the others when it can", async () => {
    await using host = new PoorHost();
    await until(() => host.said.includes("ready"), START_MILLIS);
    using first = new RawProgram(host);
    const route = await first.hello();
    await first.bind(host.port);

    await host.turn("taken");
    using waiting = new RawProgram(host);
    waiting.say({ op: "hello", version: BROKER_VERSION, resume: null });
    await until(() => host.waits > 0);

    // it looks again five times in that time, and does nothing else
    assert.ok(WINDOW_MILLIS / UNIX_ACCEPT_REST_MILLIS <= 5);
    let usedMillis = Infinity;
    for (let i = 0; i < 10 && usedMillis > WINDOW_MILLIS / 5; i++) {
      const before = host.cpuMillis;
      await sleep(WINDOW_MILLIS);
      usedMillis = host.cpuMillis - before;
    }
    assert.ok(usedMillis <= WINDOW_MILLIS / 5, `${usedMillis} ms of ${WINDOW_MILLIS}`);

    const from = await udp();
    send(from, host.port, Buffer.concat([Buffer.of(0xc0, 0, 0, 0, 1, 8), shortPacket(route, "served").subarray(1)]));
    await until(() => first.received.includes("served"));
    from.close();
    assert.equal(waiting.replies.length, 0);
    assert.ok(!waiting.closed);

    await host.turn("freed");
    await waiting.next("welcome");
    assert.equal(host.waits, 1);
  });
});
