/**
 * The handshake agent and a program of another user, which cannot read the key and serves TLS with it. Needs root only to be
 * two users.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "#src/api/quic/index.js";
import { testCa, testLeaf } from "../api/support.js";
import { AgentFolder } from "../agent/support.js";

const PROGRAM = fileURLToPath(new URL("../agent/program.js", import.meta.url));
/** Users and a group that nobody has to exist for. */
const MEMBER = 54_321;
const STRANGER = 54_322;
const GROUP = 54_323;
const CONFIG = "[authenticate.server]\nx509.certificate = cert.pem\nx509.private_key = key.pem\n";

/** Runs test/agent/program as that user; each line that it prints is a value. */
function startAs(uid: number, gid: number, ...args: string[]) {
  const dir = mkdtempSync(join(tmpdir(), "agent-program-"));
  chownSync(dir, uid, gid);
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    uid,
    gid,
    cwd: dir,
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, NETQUIC_RUNTIME_DIR: "off", HOME: dir },
  });
  let text = "";
  let errors = "";
  child.stderr.on("data", (chunk) => (errors += chunk));
  child.stdout.on("data", (chunk) => (text += chunk));
  const ended = new Promise<void>((resolve) => {
    child.on("close", () => {
      rmSync(dir, { recursive: true });
      resolve();
    });
  });
  return {
    line: async (): Promise<string> => {
      for (;;) {
        const end = text.indexOf("\n");
        if (end >= 0) {
          const line = text.slice(0, end);
          text = text.slice(end + 1);
          return line;
        }
        assert.equal(child.exitCode, null, "the program has ended");
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    /** What it said on stderr. */
    stop: async (): Promise<string> => {
      child.stdin.end();
      await ended;
      return errors;
    },
  };
}

describe("the handshake agent and programs of other users", { timeout: 120_000 }, () => {
  test("a member of the group serves TLS with a key that it cannot read; a stranger cannot reach the agent", async () => {
    const folder = new AgentFolder({ "cert.pem": testLeaf().cert, "key.pem": testLeaf().key });
    chmodSync(folder.dir, 0o711);
    for (const name of ["key.pem", "cert.pem"]) chmodSync(folder.path(name), 0o600);
    const agent = await folder.start(CONFIG, {}, ["--group", String(GROUP)]);
    const { mode, gid } = statSync(agent.path);
    assert.deepEqual([mode & 0o777, gid], [0o660, GROUP]);

    const member = startAs(MEMBER, GROUP, agent.path, folder.path("key.pem"));
    assert.equal(await member.line(), "key EACCES");
    const address = (await member.line()).replace("listening ", "");
    const session = await connect(address, { alpn: "agent-test", ca: testCa().cert, servername: "localhost" });
    const { protocol } = await session.opened;
    assert.equal(protocol, "agent-test");
    assert.equal(await member.line(), "opened");
    await session.close();
    assert.equal(await member.stop(), "");

    const stranger = startAs(STRANGER, STRANGER, agent.path, folder.path("key.pem"));
    assert.equal(await stranger.line(), "key EACCES");
    const there = (await stranger.line()).replace("listening ", "");
    const refused = await connect(there, { alpn: "agent-test", ca: testCa().cert, servername: "localhost" });
    await assert.rejects(refused.opened, { code: "ERR_QUIC_HANDSHAKE", alert: 80 });
    assert.match(await stranger.stop(), /NetquicWarning: the handshake agent at .* is not for this user/);
    await folder.remove();
  });
});
