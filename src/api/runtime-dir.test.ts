import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isAnswered, MAX_PATH_BYTES } from "../runtime/framed-socket.js";
import {
  checkPrivate,
  controlName,
  controlSockets,
  makeRuntimeDir,
  removeStaleSockets,
  RuntimeDirError,
  runtimeDir,
  socketPath,
} from "./runtime-dir.js";

const base = mkdtempSync(join(tmpdir(), "netquic-runtime-"));
after(() => rmSync(base, { recursive: true, force: true }));

function listen(path: string): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer().listen(path, () => resolve(server));
  });
}

/** A socket file that nobody listens on, of a process that has ended. */
function leaveSocket(dir: string): string {
  const script = `require("node:net").createServer().listen("${dir}/"+process.pid+".sock",()=>{console.log(process.pid);process.kill(process.pid,9)})`;
  const { stdout } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" });
  return controlName(Number(stdout.trim()), 0);
}

describe("the runtime dir", () => {
  test("is NETQUIC_RUNTIME_DIR, else in XDG_RUNTIME_DIR, else this user's among the temporary ones", () => {
    assert.equal(runtimeDir({ NETQUIC_RUNTIME_DIR: "/a", XDG_RUNTIME_DIR: "/b" }), "/a");
    assert.equal(runtimeDir({ NETQUIC_RUNTIME_DIR: "", XDG_RUNTIME_DIR: "/b" }), "/b/netquic");
    assert.equal(runtimeDir({}), join(tmpdir(), `netquic-${process.geteuid?.()}`));
    assert.equal(runtimeDir({ NETQUIC_RUNTIME_DIR: "off", XDG_RUNTIME_DIR: "/b" }), null);
    assert.throws(() => makeRuntimeDir({ NETQUIC_RUNTIME_DIR: "off" }), RuntimeDirError);
  });

  test("is made for this user alone, with the folders above it", () => {
    const dir = join(base, "made", "here");
    assert.equal(makeRuntimeDir({ NETQUIC_RUNTIME_DIR: dir }), dir);
    assert.equal(statSync(dir).mode & 0o777, 0o700);
    assert.equal(makeRuntimeDir({ NETQUIC_RUNTIME_DIR: dir }), dir);
  });

  test("is refused when others may enter it, when it is a link, no directory, or somebody else's", () => {
    const open = join(base, "open");
    mkdirSync(open);
    chmodSync(open, 0o710);
    assert.throws(() => makeRuntimeDir({ NETQUIC_RUNTIME_DIR: open }), /mode 710\); chmod 700/);
    const own = makeRuntimeDir({ NETQUIC_RUNTIME_DIR: join(base, "own") });
    symlinkSync(own, join(base, "link"));
    assert.throws(() => makeRuntimeDir({ NETQUIC_RUNTIME_DIR: join(base, "link") }), /is no directory/);
    writeFileSync(join(base, "file"), "");
    assert.throws(() => makeRuntimeDir({ NETQUIC_RUNTIME_DIR: join(base, "file") }), /is no directory/);
    assert.throws(() => makeRuntimeDir({ NETQUIC_RUNTIME_DIR: join(base, "file", "below") }), /cannot be made/);
    assert.throws(() => checkPrivate(own, statSync(own).uid + 1), /belongs to user/);
    assert.throws(() => checkPrivate(join(base, "none"), 0), /no such directory/);
  });

  test("takes a socket's path up to what the system holds, and says so for more", () => {
    const dir = `/${"d".repeat(MAX_PATH_BYTES - 8)}`;
    assert.equal(socketPath(dir, "1.sock"), `${dir}/1.sock`);
    assert.throws(() => socketPath(dir, "12.sock"), /108 bytes, and a socket's path has 107/);
    assert.throws(() => socketPath(`/${"é".repeat(51)}`, "1.sock"), /110 bytes/);
  });

  test("knows control sockets by their names, by process", () => {
    const dir = makeRuntimeDir({ NETQUIC_RUNTIME_DIR: join(base, "names") });
    const names = [controlName(90, 0), controlName(7, 0), controlName(7, 2)];
    for (const name of [...names, "host.sock", "0.sock", "7.sock.old", "agent.sock"])
      writeFileSync(join(dir, name), "");
    assert.deepEqual(
      controlSockets(dir).map(({ pid, name }) => [pid, name]),
      [
        [7, "7.2.sock"],
        [7, "7.sock"],
        [90, "90.sock"],
      ],
    );
    assert.deepEqual(controlSockets(join(base, "none")), []);
  });

  test("loses the sockets of processes that are gone, and no others", async () => {
    const dir = makeRuntimeDir({ NETQUIC_RUNTIME_DIR: join(base, "stale") });
    const gone = leaveSocket(dir);
    const running = controlName(process.pid, 0);
    writeFileSync(join(dir, running), "");
    writeFileSync(join(dir, "host.sock"), "");
    // of a process of another container: its number is nobody's here, but it answers
    const elsewhere = await listen(join(dir, controlName(2 ** 31 - 1, 0)));
    assert.ok(existsSync(join(dir, gone)));
    assert.equal(await removeStaleSockets(dir), 1);
    assert.deepEqual(readdirSync(dir).sort(), [controlName(2 ** 31 - 1, 0), "host.sock", running].sort());
    assert.equal(await isAnswered(join(dir, controlName(2 ** 31 - 1, 0))), true);
    elsewhere.close();
  });
});
