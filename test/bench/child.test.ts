import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Child, CLIENT_CORE, SERVER_CORE, withPair } from "../../dist-bench/child.js";
import { parseCores } from "../../dist-bench/cores.js";

const HELPERS = new URL("../../dist-bench/child.js", import.meta.url).href;
const RUN = fileURLToPath(new URL("../../dist-bench/run.js", import.meta.url));

/** A program that is its source text; the job stays its last argument. */
function program(text: string): string[] {
  const source = `import { ownJob, tell } from ${JSON.stringify(HELPERS)};\n${text}`;
  return [process.execPath, "--input-type=module", "--eval", source, "--"];
}

const ECHO = program("const job = ownJob({ twice: (n) => n * 2 }); tell({ role: job.role, of: job.server ?? null });");

describe("a program of a benchmark", () => {
  test("gets its job, tells, and answers in the order of the questions", async () => {
    const child = new Child(ECHO, { role: "server" }, SERVER_CORE);
    assert.deepEqual(await child.message(), { role: "server", of: null });
    assert.equal(await child.ask("twice", 21), 42);
    assert.equal(await child.ask("unknown"), null);
    child.stop();
  });

  test("what it told before anybody asked is kept", async () => {
    const child = new Child(program("ownJob(); tell(1); tell(2);"), {}, CLIENT_CORE);
    assert.equal(await child.message(), 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(await child.message(), 2);
    child.stop();
  });

  test("one that ends is an error of who waits, after all that it told", async () => {
    const child = new Child(program("ownJob(); tell(1); setTimeout(() => process.exit(3), 20);"), {}, CLIENT_CORE);
    assert.equal(await child.message(), 1);
    await assert.rejects(child.message(), /ended with 3$/);
    await assert.rejects(child.message(), /ended with 3$/);
  });

  test("a command that is not there is an error, not a crash", async () => {
    await assert.rejects(new Child(["/nonexistent/program"], {}, SERVER_CORE).message());
  });

  test("the client of a pair learns what its server said first", async () => {
    const told = await withPair(ECHO, {}, (_, client) => client.message());
    assert.deepEqual(told, { role: "client", of: { role: "server", of: null } });
  });
});

describe("cores", () => {
  test("a list of the kernel is taken apart", () => {
    assert.deepEqual(parseCores("0-2,5\n"), [0, 1, 2, 5]);
    assert.deepEqual(parseCores("3"), [3]);
    assert.deepEqual(parseCores(""), []);
  });
});

describe("a whole benchmark", () => {
  test("the last line of --json has the fields of the report, and both modes of copying move each byte twice", () => {
    const args = [RUN, "copies", "--runs", "1", "--mebibytes", "2", "--warm-up", "1", "--json"];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    const report = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
    assert.deepEqual([report.bench, report.node], ["copies", process.version]);
    assert.match(report.tls, /^(?:gnutls|openssl)$/);
    assert.deepEqual(
      report.rows.map((row: { mode: string }) => row.mode),
      ["joined", "separate"],
    );
    for (const row of report.rows) {
      assert.ok(row.bytesCopiedPerByte >= 2 && row.bytesCopiedPerByte < 2.5, `${row.bytesCopiedPerByte} bytes`);
      assert.ok(row.cpuNsPerByte > 0 && row.passNsPerByte > 0);
    }
  });

  test("a file is sent in all modes, and its place is left clean", () => {
    const dir = mkdtempSync(join(tmpdir(), "netquic-bench-test-"));
    const args = [RUN, "file", "--runs", "1", "--mebibytes", "2", "--warm-up", "1", "--json"];
    const env = { ...process.env, TMPDIR: dir, NETQUIC_RUNTIME_DIR: "off" };
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env });
    assert.equal(status, 0, stderr);
    const { rows } = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
    assert.deepEqual(
      rows.map((row: { mode: string }) => row.mode),
      ["sendFile", "readWrite", "memory"],
    );
    for (const row of rows) assert.ok(row.cpuNsPerByte > 0 && row.gbitPerSec > 0 && row.ratio > 0);
    assert.deepEqual(readdirSync(dir), []);
    rmSync(dir, { recursive: true });
  });

  test("handshakes by an agent cost CPU on its side, too, and its place is left clean", () => {
    const dir = mkdtempSync(join(tmpdir(), "netquic-bench-test-"));
    const args = [RUN, "agent", "--runs", "1", "--count", "20", "--warm-up", "5", "--in-flight", "4", "--json"];
    const env = { ...process.env, TMPDIR: dir, NETQUIC_RUNTIME_DIR: "off" };
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env });
    assert.equal(status, 0, stderr);
    const { rows } = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
    assert.equal(rows.length, 1);
    const { agentPerSec, serverPerSec, agentPerWallSec, inProcessPerSec, inProcessPerWallSec } = rows[0];
    assert.ok(agentPerSec > 0 && agentPerSec < serverPerSec, `${agentPerSec} of both, ${serverPerSec} of the server`);
    assert.ok(agentPerWallSec > 0 && inProcessPerSec > 0 && inProcessPerWallSec > 0);
    assert.deepEqual(readdirSync(dir), []);
    rmSync(dir, { recursive: true });
  });
});
