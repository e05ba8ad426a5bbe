/**
 * `quic host` among users: it runs as nobody with the right to bind low ports and no other, serves a program of its own user
 * and one of another user that its configuration names, and turns a third away (ROBUSTNESS B03, B05, B11).
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "#src/api/quic/index.js";
import { content, readAll, testCa, testLeaf } from "../api/support.js";
import { until } from "../broker/support.js";

const NOBODY = 65_534;
const ALLOWED = 1;
const STRANGER = 2;
/** CAP_NET_BIND_SERVICE alone. */
const CAPABILITIES = "0000000000000400";
const PORT = 1021;
const QUIC = fileURLToPath(new URL("../../dist/cli/quic.js", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../broker/program.js", import.meta.url));

class Started {
  text = "";

  constructor(readonly child: ChildProcess) {
    child.stdout?.on("data", (chunk) => (this.text += chunk));
    child.stderr?.on("data", (chunk) => (this.text += chunk));
  }

  async says(what: RegExp): Promise<void> {
    await until(() => what.test(this.text)).catch((error: Error) => {
      throw new Error(`${error.message}; it said ${JSON.stringify(this.text)}`);
    });
  }

  [Symbol.dispose](): void {
    this.child.kill("SIGKILL");
  }
}

function startHost(dir: string): Started {
  const config = join(dir, "host.json");
  const ports = [`127.0.0.1:${PORT}`];
  writeFileSync(config, JSON.stringify({ ports, allow: [{ user: ALLOWED, ports: [PORT], protocols: ["smbd"] }] }));
  const only = "-all,+net_bind_service";
  const rights = ["--bounding-set", only, "--inh-caps", only, "--ambient-caps", only];
  const user = ["--reuid", `${NOBODY}`, "--regid", `${NOBODY}`, "--clear-groups"];
  const command = [process.execPath, QUIC, "host", "--config", config, "--socket", join(dir, "host.sock"), "-v"];
  return new Started(spawn("setpriv", [...user, ...rights, ...command], { stdio: ["ignore", "pipe", "pipe"] }));
}

function startProgram(dir: string, name: string, uid: number): Started {
  const { cert: certs, key: keys } = testLeaf();
  const options = { host: join(dir, "host.sock"), name, address: `127.0.0.1:${PORT}`, certs, keys };
  const child = spawn(process.execPath, [PROGRAM, JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "pipe"],
    uid,
    gid: uid,
    env: { ...process.env, NETQUIC_RUNTIME_DIR: "off" },
  });
  return new Started(child);
}

async function ask(alpn: string): Promise<void> {
  const session = await connect(`127.0.0.1:${PORT}`, { alpn, ca: testCa().cert, servername: "localhost" });
  await session.opened;
  const sent = content(500_000);
  const stream = await session.createBidirectionalStream({ body: sent });
  assert.ok((await readAll(stream)).equals(Buffer.concat([Buffer.from(`${alpn}:`), sent])));
  await session.close();
}

test("a host without rights serves programs of its own and of another user, and no stranger", async () => {
  const dir = mkdtempSync(join(tmpdir(), "nq-"));
  chmodSync(dir, 0o755);
  chownSync(dir, NOBODY, NOBODY);
  try {
    using host = startHost(dir);
    await host.says(/programs at/);
    const status = readFileSync(`/proc/${host.child.pid}/status`, "utf8");
    for (const set of ["CapPrm", "CapEff", "CapBnd"])
      assert.match(status, new RegExp(`^${set}:\\s+${CAPABILITIES}$`, "m"));
    assert.match(status, new RegExp(`^Uid:\\s+${NOBODY}\\s+${NOBODY}`, "m"));

    using own = startProgram(dir, "h3", NOBODY);
    using other = startProgram(dir, "smbd", ALLOWED);
    using notNamed = startProgram(dir, "ksmbd", ALLOWED);
    using stranger = startProgram(dir, "smbd", STRANGER);
    await own.says(/^ready 1021/);
    await other.says(/^ready 1021/);
    await notNamed.says(/^failed EACCES/);
    await stranger.says(/^failed EACCES/);
    await ask("h3");
    await ask("smbd");
    // B03: neither another user's name, by one who may have others
    using thief = startProgram(dir, "h3", ALLOWED);
    await thief.says(/^failed EACCES/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
