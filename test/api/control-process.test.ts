/** What a control socket means for the process that has it: nothing that it notices. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { until } from "./support.js";

const PROGRAM = fileURLToPath(new URL("./program.js", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "netquic-process-"));
after(() => rmSync(dir, { recursive: true, force: true }));

/** Serves itself a transfer and ends by itself. */
function whole(runtimeDir: string): { stdout: string; stderr: string; status: number | null } {
  const env = { ...process.env, NETQUIC_RUNTIME_DIR: runtimeDir };
  return spawnSync(process.execPath, [PROGRAM, "whole"], { env, encoding: "utf8", timeout: 60_000 });
}

/** Listens until it is ended. */
async function server(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [PROGRAM, "server"], {
    env: { ...process.env, NETQUIC_RUNTIME_DIR: dir },
    stdio: "ignore",
  });
  await until(() => existsSync(join(dir, `${child.pid}.sock`)), 20_000);
  return child;
}

function ended(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => child.once("exit", resolve));
}

/** Warnings of ours on stderr. */
function warnings(stderr: string): string[] {
  return stderr.split("\n").filter((line) => line.includes("NetquicWarning"));
}

describe("a program with a control socket", () => {
  test("ends by itself, and leaves no socket", () => {
    const { stdout, stderr, status } = whole(dir);
    assert.deepEqual([status, JSON.parse(stdout)], [0, { same: true }]);
    assert.deepEqual(warnings(stderr), []);
    assert.deepEqual(readdirSync(dir), []);
  });

  test("that was killed leaves one, which the next program removes", async () => {
    const killed = await server();
    killed.kill("SIGKILL");
    await ended(killed);
    assert.deepEqual(readdirSync(dir), [`${killed.pid}.sock`]);
    const next = await server();
    await until(() => readdirSync(dir).length === 1, 20_000);
    assert.deepEqual(readdirSync(dir), [`${next.pid}.sock`]);
    next.kill("SIGKILL");
    await ended(next);
  });

  test("goes on without where the folder that was named cannot be used, with one warning", () => {
    const open = mkdtempSync(join(dir, "open-"));
    chmodSync(open, 0o755);
    const { stdout, stderr, status } = whole(open);
    assert.deepEqual([status, JSON.parse(stdout)], [0, { same: true }]);
    const [warning, ...more] = warnings(stderr);
    assert.match(warning ?? "", /no control socket: .*others may enter it \(mode 755\)/);
    assert.deepEqual([more, readdirSync(open)], [[], []]);
  });

  test("has none when that is what NETQUIC_RUNTIME_DIR says", () => {
    const { stdout, stderr, status } = whole("off");
    assert.deepEqual([status, JSON.parse(stdout), warnings(stderr)], [0, { same: true }, []]);
  });
});
