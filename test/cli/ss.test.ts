/** `quic ss` beside the programs that it shows: what it says is what they count themselves. */

import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import type { SocketRow } from "#src/api/control/rows.js";
import { type Ended, makeFolder, startQuic, until as lookFor } from "./run-quic.js";
import type { OwnCounters } from "./ss-program.js";

const PROGRAM = fileURLToPath(new URL("./ss-program.js", import.meta.url));
const CONNECTIONS = 50; // to each of two servers
const BYTES = 200_000;
const LOOKS = 3;

const folder = makeFolder();
const env: Record<string, string> = { NETQUIC_RUNTIME_DIR: folder.dir };

interface Listing {
  programs: { pid: number; name: string; heldBytes: number; counters: Record<string, number> }[];
  sockets: (SocketRow & { pid: number })[];
  failures: string[];
}

class Program {
  private constructor(readonly child: ChildProcess) {}

  static async start(...args: string[]): Promise<[Program, Record<string, unknown>]> {
    const child = fork(PROGRAM, args, {
      env: { ...process.env, ...env },
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const program = new Program(child);
    return [program, await program.next()];
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  next(key?: string): Promise<Record<string, unknown>> {
    return new Promise((resolve) => {
      const onMessage = (message: unknown): void => {
        const told = message as Record<string, unknown>;
        if (key !== undefined && !(key in told)) return;
        this.child.off("message", onMessage);
        resolve(told);
      };
      this.child.on("message", onMessage);
    });
  }

  ask(question: object): void {
    this.child.send(question);
  }

  async counters(): Promise<OwnCounters[]> {
    const answer = this.next("counters");
    this.ask({ ask: "counters" });
    return (await answer)["counters"] as OwnCounters[];
  }
}

function ss(...args: string[]): Promise<Ended> {
  return startQuic(["ss", ...args], env).ended;
}

async function listing(...args: string[]): Promise<Listing> {
  const { code, stdout, stderr } = await ss("-j", ...args);
  assert.deepEqual([code, stderr], [0, ""]);
  return JSON.parse(stdout) as Listing;
}

const COUNTED = ["bytesSent", "bytesReceived", "bidiIn", "bidiOut"] as const;

/** Sums over the connections of one program. */
function sums(counters: readonly OwnCounters[]): number[] {
  return COUNTED.map((name) => counters.reduce((sum, each) => sum + each[name], 0));
}

function shownOf({ sockets }: Listing, pid: number): OwnCounters[] {
  return sockets
    .filter((socket) => socket.pid === pid && socket.details !== undefined)
    .map(({ details }) => {
      const { bytesSent, bytesReceived, bidiIn, bidiOut } = details!.stats;
      return { bytesSent, bytesReceived, bidiIn, bidiOut };
    });
}

/** One after the other, sorted: connections have no name that both sides know. */
function sorted(counters: readonly OwnCounters[]): string[] {
  return counters.map((each) => COUNTED.map((name) => each[name]).join(" ")).sort();
}

describe("quic ss", () => {
  let one: Program;
  let other: Program;
  let client: Program;
  const all = (): Program[] => [one, other, client];

  before(async () => {
    let first: Record<string, unknown>;
    let second: Record<string, unknown>;
    [[one, first], [other, second], [client]] = await Promise.all([
      Program.start("server", "smbd"),
      Program.start("server", "h3"),
      Program.start("client"),
    ]);
    const opened = client.next("opened");
    client.ask({
      ask: "begin",
      count: CONNECTIONS,
      targets: [
        { ...first, alpn: "smbd" },
        { ...second, alpn: "h3" },
      ],
    });
    await opened;
  });

  after(() => {
    for (const program of all()) program.child.kill("SIGKILL");
    folder.remove();
  });

  test("agrees with the counters of three programs while 100 connections transfer, and after it exactly", async () => {
    const transferred = client.next("transferred");
    client.ask({ ask: "go", bytes: BYTES });
    for (let look = 0; look < LOOKS; look++) {
      const earlier = await Promise.all(all().map((program) => program.counters()));
      const shown = await listing("state", "established");
      const later = await Promise.all(all().map((program) => program.counters()));
      assert.deepEqual(shown.failures, []);
      for (const [i, program] of all().entries()) {
        const counters = shownOf(shown, program.pid);
        assert.equal(counters.length, program === client ? 2 * CONNECTIONS : CONNECTIONS);
        const [least, found, most] = [earlier[i] as OwnCounters[], counters, later[i] as OwnCounters[]].map(sums);
        for (const [k, name] of COUNTED.entries()) {
          const inOrder = least![k]! <= found![k]! && found![k]! <= most![k]!;
          assert.ok(inOrder, `${name}: ${least![k]} ${found![k]} ${most![k]}`);
        }
      }
    }
    client.ask({ ask: "stop" });
    await transferred;
    const [shown, snmp] = await settled();
    assert.ok(sums(shownOf(shown, client.pid))[0]! > 2 * CONNECTIONS * BYTES);
    assert.match(
      snmp,
      new RegExp(`^QuicConnCurrentEstabs\\t${4 * CONNECTIONS}\\nQuicConnPassiveEstabs\\t${2 * CONNECTIONS}\\n`),
    );
    const packets = shown.sockets.reduce((sum, { details }) => sum + (details?.stats.packetsSent ?? 0), 0);
    assert.match(snmp, new RegExp(`^QuicPktEncFastpaths\\t${packets}$`, "m"));
  });

  /** What is shown, and the counters of all, when no packet moves: exactly what the programs count before and after it. */
  async function settled(): Promise<[shown: Listing, snmp: string]> {
    const counted = () => Promise.all(all().map((program) => program.counters()));
    for (let i = 0; i < 50; i++) {
      await sleep(100);
      const before = await counted();
      const shown = await listing("state", "established");
      const { stdout: snmp } = await ss("--proc", "snmp");
      if (!isDeepStrictEqual(await counted(), before)) continue;
      for (const [i, program] of all().entries()) {
        assert.deepEqual(sorted(shownOf(shown, program.pid)), sorted(before[i] as OwnCounters[]));
      }
      return [shown, snmp];
    }
    assert.fail("the connections never come to rest");
  }

  test("shows listeners with their protocols, and finds connections by filter", async () => {
    const { stdout } = await ss("-lnpH");
    const lines = stdout.trimEnd().split("\n");
    assert.equal(lines.length, 2);
    for (const [alpn, program] of [
      ["smbd", one],
      ["h3", other],
    ] as const) {
      const line = new RegExp(
        `^LISTEN 0 +0 +127.0.0.1:\\d+ +0.0.0.0:\\* +${alpn} +users:\\(\\("ss-program.js",pid=${program.pid}\\)\\)$`,
      );
      assert.ok(
        lines.some((each) => line.test(each)),
        stdout,
      );
    }
    const { sockets } = await listing("alpn", "smbd", "and", "pid", String(client.pid));
    assert.equal(sockets.length, CONNECTIONS);
    assert.ok(sockets.every(({ role }) => role === "client"));
    assert.deepEqual((await listing("-6")).sockets, []);
  });

  test("-i says in the words of ss what the connection is like", async () => {
    const lines = (await ss("-inH", "pid", String(one.pid))).stdout.trimEnd().split("\n");
    assert.equal(lines.length, 2 * CONNECTIONS);
    assert.match(
      lines[1] ?? "",
      /^\tcubic .*pto:[\d.]+ rtt:[\d.]+\/[\d.]+ mss:\d+ pmtu:\d+ cwnd:\d+ .*minrtt:[\d.]+ streams:0 version:1 cipher:TLS_/,
    );
  });

  test("--proc conns and eps have a line for each connection and listener", async () => {
    const conns = (await ss("--proc", "conns")).stdout.trimEnd().split("\n");
    assert.equal(conns.length, 1 + 4 * CONNECTIONS);
    assert.ok(conns.slice(1).every((line) => /^[0-9a-f]{16}\t1\t/.test(line) && line.split("\t").length === 14));
    assert.equal((await ss("--proc", "eps")).stdout.trimEnd().split("\n").length, 3);
  });

  test("a program that was killed is gone from the list, its socket from the folder; one that does not answer is named", async () => {
    other.child.kill("SIGKILL");
    await new Promise((resolve) => other.child.once("exit", resolve));
    writeFileSync(folder.path(`${process.pid}.sock`), "");
    const { stdout, stderr, code } = await ss("-s");
    rmSync(folder.path(`${process.pid}.sock`));
    assert.match(stdout, /^Programs: 2,/m);
    assert.match(stderr, new RegExp(`^quic ss: [^\\n]*${process.pid}.sock: [^\\n]*\\n$`));
    assert.equal(code, 0);
    assert.equal(readdirSync(folder.dir).includes(`${other.pid}.sock`), false);
  });

  test("programs behind a host show the port that they share, and the host shows that it has it", async () => {
    const socket = folder.path("host.sock");
    // sockets are passed on by the addon, whatever datapath the other tests are run with
    Object.assign(env, { NETQUIC_DATAPATH: "native", NETQUIC_HOST: socket });
    const host = startQuic(["host", "--socket", socket, "--port", "127.0.0.1:0"], env);
    const port = await lookFor(() => /^port (\d+) of 127/m.exec(host.stdout())?.[1]);
    const address = `127.0.0.1:${port}`;
    const behind: Program[] = [];
    try {
      for (const alpn of ["a", "b"]) behind.push((await Program.start("server", alpn, address))[0]);
      const lines = (await ss("-lnpH", "sport", "=", String(port))).stdout.trimEnd().split("\n");
      const expected = [
        `UNCONN - users:(("quic host",pid=${host.child.pid}))`,
        ...behind.map(({ pid }, i) => `LISTEN ${"ab"[i]} users:(("ss-program.js",pid=${pid}))`),
      ];
      const shown = lines.map((line) =>
        line.replace(/^(\S+) +0 +0 +127\.0\.0\.1:\d+ +0\.0\.0\.0:\* +(\S+) +/, "$1 $2 "),
      );
      assert.deepEqual(shown.sort(), expected.sort());
      const { sockets } = await listing("-l", "sport", "=", String(port));
      assert.deepEqual(new Set(sockets.map(({ udp }) => udp)), new Set([address]));
    } finally {
      for (const name of ["NETQUIC_HOST", "NETQUIC_DATAPATH"]) delete env[name];
      for (const program of behind) program.child.kill("SIGKILL");
      host.child.kill();
      await host.ended;
    }
  });

  test("what is wrong with the command line is one line and exit code 2", async () => {
    const { code, stdout, stderr } = await ss("--proc", "x");
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /^quic ss: --proc "x": conns, eps, snmp[^\n]*\n$/);
    const off = await startQuic(["ss"], { NETQUIC_RUNTIME_DIR: "off" }).ended;
    assert.deepEqual(
      [off.code, off.stderr],
      [2, "quic ss: NETQUIC_RUNTIME_DIR is off, so no program can be found; see quic ss --help\n"],
    );
  });
});
