import assert from "node:assert/strict";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { makeFolder, type Running, startQuic } from "./run-quic.js";

/** Sockets are passed on by the addon, whatever datapath the other tests are run with. */
const startHost = (...args: string[]): Running => startQuic(["host", ...args], { NETQUIC_DATAPATH: "native" });

const folder = makeFolder();
after(() => folder.remove());

async function refuses(args: string[], code: number, line: RegExp): Promise<void> {
  const ended = await startHost(...args).ended;
  assert.match(ended.stderr, /^quic host: [^\n]*\n$/, "one line");
  assert.match(ended.stderr, line);
  assert.equal(ended.code, code);
}

describe("quic host", { concurrency: 2 }, () => {
  test("--help says what it is for", async () => {
    const { code, stdout, stderr } = await startHost("--help").ended;
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^usage: quic host/m);
  });

  test("says where its ports and its socket are, and ends with 0 by a signal, without the socket", async () => {
    const path = folder.path("a.sock");
    const running = startHost("--socket", path, "--port", "127.0.0.1:0", "-p", "[::1]:0");
    while (!running.stdout().includes("programs at") && running.child.exitCode === null) await sleep(10);
    assert.match(running.stdout(), /^port [1-9]\d* of 127\.0\.0\.1\nport [1-9]\d* of ::1\nprograms at .*a\.sock\n$/);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    await refuses(["--socket", path], 1, /another host runs at/);
    running.child.kill("SIGTERM");
    const { code, stdout } = await running.ended;
    assert.equal(code, 0);
    assert.match(stdout, /ended after 0 clients/);
    assert.ok(!existsSync(path));
  });

  test("a port that another host has is refused: they would take each other's packets", async () => {
    const running = startHost("--socket", folder.path("first.sock"), "--port", "127.0.0.1:0");
    while (!running.stdout().includes("programs at") && running.child.exitCode === null) await sleep(10);
    const port = /^port (\d+)/.exec(running.stdout())?.[1] as string;
    await refuses(["--socket", folder.path("second.sock"), "--port", `127.0.0.1:${port}`], 1, /EADDRINUSE/);
    running.child.kill("SIGTERM");
    await running.ended;
  });

  test("a socket that a killed host left is taken", async () => {
    const path = folder.path("b.sock");
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      const running = startHost("--socket", path);
      while (!running.stdout().includes("programs at") && running.child.exitCode === null) await sleep(10);
      running.child.kill(signal);
      await running.ended;
      assert.match(running.stdout(), /programs at/);
    }
  });

  test("without the addon it says that it needs it", async () => {
    const args = ["host", "--socket", folder.path("d.sock"), "--port", "127.0.0.1:0"];
    const { code, stderr } = await startQuic(args, { NETQUIC_DATAPATH: "portable" }).ended;
    assert.match(stderr, /^quic host: it needs the addon[^\n]*\n$/);
    assert.equal(code, 1);
  });

  test("what is wrong is one line", async () => {
    await refuses(["--frobnicate"], 2, /--frobnicate/);
    await refuses(["443"], 2, /There are options only/);
    for (const wrong of ["localhost:1", "abc", "99999", "", "1.2.3:4", "[127.0.0.1]:4", "::1:4"]) {
      await refuses([`--port=${wrong}`], 2, /--port ".*" is no port: PORT, ADDRESS:PORT or \[ADDRESS\]:PORT/);
    }
    await refuses(["--socket="], 2, /--socket has an empty path/);
    await refuses(["--socket", folder.dir], 1, /it is there and no socket/);
    await refuses(["--port", "192.0.2.1:0", "--socket", folder.path("c.sock")], 1, /EADDRNOTAVAIL/);
    await refuses(["--socket", folder.path("x".repeat(120))], 1, /107 at most/);
    await refuses(["--socket", folder.path("no/where.sock")], 1, /ENOENT: there is no folder .*no$/m);
    await refuses(["--config", folder.path("none.json")], 1, /none\.json/);
    writeFileSync(folder.path("bad.json"), '{"ports": [443], "user": "www"}');
    await refuses(["--config", folder.path("bad.json")], 1, /bad\.json: user: is not known here/);
    const taken = createSocket("udp4").bind(0, "127.0.0.1");
    await once(taken, "listening");
    const port = `127.0.0.1:${taken.address().port}`;
    await refuses(["--port", port, "--socket", folder.path("d.sock")], 1, /EADDRINUSE/);
    taken.close();
  });
});
