import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, describe, test } from "node:test";
import { devCertificate } from "#src/runtime/native/x509.js";
import { makeFolder, runQuic, startQuic, until } from "./run-quic.js";

const folder = makeFolder();
after(() => folder.remove());
const { cert, key } = devCertificate({ hosts: ["localhost"] });
writeFileSync(folder.path("cert.pem"), cert);
writeFileSync(folder.path("key.pem"), key);
const good = folder.path("good");
writeFileSync(good, "[authenticate.server]\nx509.certificate = cert.pem\nx509.private_key = key.pem\n");

/** The command fails with that exit code and one line on stderr. */
async function refuses(args: string[], code: number, line: RegExp): Promise<void> {
  const ended = await runQuic("agent", ...args);
  assert.match(ended.stderr, /^quic agent: [^\n]*\n$/, "one line");
  assert.match(ended.stderr, line);
  assert.equal(ended.code, code);
}

describe("quic agent, called wrongly", { concurrency: 2 }, () => {
  test("--help is no failure", async () => {
    const { code, stdout, stderr } = await runQuic("agent", "--help");
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^usage: quic agent --config FILE/m);
  });

  test("options", async () => {
    await refuses([], 2, /--config FILE is missing/);
    await refuses(["--config", good, "extra"], 2, /"extra"/);
    await refuses(["--frobnicate"], 2, /Unknown option '--frobnicate'/);
  });

  test("a configuration that is missing or wrong, with its line", async () => {
    await refuses(["-c", folder.path("none")], 1, /ENOENT.*none/);
    await refuses(["-c", folder.dir], 1, /is a directory/);
    const bad = folder.path("bad");
    writeFileSync(bad, "[authenticate.server]\nx509.certificate = none.pem\n");
    await refuses(["-c", bad], 1, /bad: line 2: x509\.certificate: ENOENT/);
    writeFileSync(bad, "[authenticate.server]\nx509.colour = red\n");
    await refuses(["-c", bad], 1, /bad: line 2: x509\.colour in \[authenticate\.server\] is not known/);
  });

  test("a socket that cannot be, and a group that is not there", async () => {
    await refuses(["-c", good, "-s", folder.path("none/agent.sock")], 1, /ENOENT: there is no folder/);
    await refuses(["-c", good, "-s", `/tmp/${"p".repeat(108)}`], 1, /107 at most/);
    await refuses(["-c", good, "-s", ""], 2, /--socket has an empty path/);
    await refuses(["-c", good, "-s", good], 1, /it is there and no socket/);
    await refuses(["-c", good, "-g", "no-such-group"], 1, /there is no group "no-such-group"/);
  });

  test("two on one socket: the second one is told", async () => {
    const path = folder.path("a.sock");
    const first = startQuic(["agent", "-c", good, "-s", path]);
    await until(() => first.stdout().includes("handshakes at"));
    await refuses(["-c", good, "-s", path], 1, /another agent runs at/);
    first.child.kill("SIGTERM");
    assert.equal((await first.ended).code, 0);
  });

  test("without --socket it is agent.sock in the runtime dir", async () => {
    const running = startQuic(["agent", "-c", good], { NETQUIC_RUNTIME_DIR: folder.path("run") });
    await until(() => running.stdout().includes(`handshakes at ${folder.path("run/agent.sock")}`));
    running.child.kill("SIGINT");
    assert.equal((await running.ended).code, 0);
  });
});
