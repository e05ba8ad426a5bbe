/** A host that may have no more descriptors. */

import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Readable, Writable } from "node:stream";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { BROKER_VERSION } from "#src/broker/messages.js";
import { UNIX_ACCEPT_REST_MILLIS } from "#src/proto/limits.js";
import { RawProgram, send, shortPacket, udp } from "./raw-program.js";
import { until } from "./support.js";

const POOR_HOST = fileURLToPath(new URL("poor-host.js", import.meta.url));
/** Enough to load all modules at once. */
const DESCRIPTORS = 1024;
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
    rmSync(dirname(this.path), { recursive: true });
  }
}

describe("a host without free descriptors", () => {
  test("rests, says so once, serves who is there, and the others when it can", async () => {
    await using host = new PoorHost();
    await until(() => host.said.includes("ready"));
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
