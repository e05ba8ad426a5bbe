import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { devCertificate } from "#src/runtime/native/x509.js";
import { freeUdpPort } from "../support/ports.js";
import { makeFolder, runQuic } from "./run-quic.js";

const folder = makeFolder();
after(() => folder.remove());
const file = folder.path("file");
writeFileSync(file, "content");

/** The command fails with that exit code and one line on stderr. */
async function refuses(args: string[], code: number, line: RegExp): Promise<void> {
  const ended = await runQuic(...args);
  assert.match(ended.stderr, /^quic[^\n]*\n$/, "one line");
  assert.match(ended.stderr, line);
  assert.equal(ended.code, code);
}

describe("quic, called wrongly", { concurrency: 2 }, () => {
  test("without a command prints the help", async () => {
    const { code, stdout, stderr } = await runQuic();
    assert.equal(code, 2);
    assert.match(stdout, /^usage: quic COMMAND/m);
    assert.equal(stderr, "");
  });

  test("--help and --version are no failures", async () => {
    for (const args of [["--help"], ["transfer", "--help"], ["help", "host"], ["--version"]]) {
      const { code, stdout, stderr } = await runQuic(...args);
      assert.deepEqual([code, stderr], [0, ""]);
      assert.ok(stdout.length > 0);
    }
  });

  test("names an unknown command and an unknown option", async () => {
    await refuses(["help", "frobnicate"], 2, /^quic: there is no command "frobnicate"/);
    await refuses(["frobnicate"], 2, /^quic: there is no command "frobnicate"/);
    await refuses(["transfer", "--frobnicate"], 2, /Unknown option '--frobnicate'/);
    await refuses(["transfer", "--port", "x"], 2, /--port "x" is not a whole number/);
  });
});

describe("quic transfer with bad input", { concurrency: 2 }, () => {
  test("a missing file, a directory and a device are named before anything starts", async () => {
    await refuses(["transfer", file, folder.path("none")], 1, /cannot read .*none: no such file or directory/);
    await refuses(["transfer", folder.dir], 1, /is a directory/);
    await refuses(["transfer", "/dev/null"], 1, /cannot read \/dev\/null: not a regular file/);
  });

  test("two files of one name are refused", async () => {
    mkdirSync(folder.path("other"), { recursive: true });
    writeFileSync(folder.path("other/file"), "other");
    await refuses(["transfer", file, folder.path("other/file")], 2, /two of the files are called file/);
  });

  test("a target that exists is kept", async () => {
    const out = folder.path("taken");
    mkdirSync(out);
    writeFileSync(join(out, "file"), "mine");
    await refuses(["transfer", file, "--out", out], 1, /taken\/file exists already/);
    assert.equal(readFileSync(join(out, "file"), "utf8"), "mine");
    assert.equal(existsSync(join(out, "returned")), false);
  });

  test("--out that is a file, or cannot be made, is named", async () => {
    await refuses(["transfer", file, "--out", file], 1, /file is not a directory/);
    await refuses(["transfer", file, "--out", join(file, "below")], 1, /cannot create .*below/);
    await refuses(
      ["transfer", file, "--out", "/proc/none/below"],
      1,
      /cannot create \/proc\/none\/below: no such file/,
    );
  });

  test("a port in use, and an address of another machine, are named", async () => {
    const socket = createSocket("udp4").bind(0, "127.0.0.1");
    await once(socket, "listening");
    const { port } = socket.address();
    try {
      await refuses(["transfer", file, "--port", String(port)], 1, new RegExp(`port ${port} of 127.0.0.1 is in use`));
    } finally {
      socket.close();
    }
    await refuses(["transfer", file, "--host", "192.0.2.1"], 1, /192.0.2.1 is no address of this machine/);
  });

  test("a peer that does not answer is given up after --timeout", async () => {
    const port = await freeUdpPort();
    const args = ["transfer", file, "--connect", `127.0.0.1:${port}`, "--timeout", "1"];
    await refuses(args, 1, new RegExp(`no answer from 127.0.0.1:${port} in 1 s`));
  });

  test("a CA that did not sign the server's certificate ends the handshake", async () => {
    const ca = folder.path("ca.pem");
    writeFileSync(ca, devCertificate({ hosts: ["elsewhere.example"], days: 3 }).cert);
    await refuses(["transfer", file, "--ca", ca], 1, /TLS handshake with .* failed.* checked against --ca .*ca.pem/);
  });

  test("files of certificates that are missing or hold something else are named", async () => {
    await refuses(["transfer", file, "--ca", folder.path("none")], 1, /cannot read .*none/);
    await refuses(["transfer", file, "--ca", file], 1, /cannot use --ca .*file: .* no readable certificate/);
    await refuses(["transfer", file, "--cert", file, "--key", file], 1, /cannot use --cert .* with --key /);
  });
});
