import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import { devCertificate } from "#src/runtime/native/x509.js";
import { childrenOf, isReceiving, makeFolder, runQuic, startQuic, until } from "./run-quic.js";

const folder = makeFolder();
after(() => folder.remove());
let outs = 0;
const freshOut = () => folder.path(`out${outs++}`);

function sha256(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function writeSource(name: string, size: number): string {
  const path = folder.path(name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, randomBytes(size));
  return path;
}

/** A file that takes long to send, and no time to make. */
function writeLarge(name: string): string {
  const path = writeSource(name, 1);
  truncateSync(path, 2 ** 30);
  return path;
}

function writeCertificate(name: string): { cert: string; key: string } {
  const { cert, key } = devCertificate({ hosts: ["localhost", "127.0.0.1"], days: 3 });
  const paths = { cert: folder.path(`${name}.crt`), key: folder.path(`${name}.key`) };
  writeFileSync(paths.cert, cert);
  writeFileSync(paths.key, key);
  return paths;
}

describe("quic transfer, both sides here", { concurrency: 2 }, () => {
  test("without a file a sample goes both ways into a folder that is named and left", async () => {
    const { code, stdout, stderr } = await runQuic("transfer", "--json");
    assert.equal(stderr, "");
    assert.equal(code, 0);
    const result = JSON.parse(stdout.trim().split("\n").at(-1) as string);
    const { serverDir, clientDir } = result;
    try {
      for (const word of [
        /^handshake +[0-9.]+ ms$/m,
        /^RTT/m,
        /^TLS/m,
        /^datapath/m,
        /bit\/s goodput/,
        /packets lost/,
      ]) {
        assert.match(stdout, word);
      }
      assert.equal(result.totalBytes, 64 << 20);
      assert.ok(result.handshakeMicros > 0);
      assert.ok(result.toServer.goodputBytesPerSec > 0 && result.toClient.goodputBytesPerSec > 0);
      assert.ok(result.minRttMicros > 0 && result.minRttMicros <= result.smoothedRttMicros * 1.01);
      assert.equal(clientDir, join(serverDir, "returned"));
      assert.match(stdout, new RegExp(`^files +${serverDir}`, "m"));
      assert.deepEqual(readdirSync(serverDir).sort(), ["returned", "sample.bin"]);
      assert.equal(sha256(join(serverDir, "sample.bin")), sha256(join(clientDir, "sample.bin")));
    } finally {
      rmSync(serverDir, { recursive: true });
    }
  });

  test("several files of the user arrive under their base names", async () => {
    const sizes = { "several/empty": 0, "several/deep/one": 1, "several/a b.bin": 3_000_001 };
    const paths = Object.entries(sizes).map(([name, size]) => writeSource(name, size));
    const out = freshOut();
    const { code, stdout, stderr } = await runQuic(
      "transfer",
      ...paths,
      "--out",
      out,
      "--streams",
      "3",
      "--host",
      "::1",
    );
    assert.equal(stderr, "");
    assert.equal(code, 0, stdout);
    assert.deepEqual(readdirSync(out).sort(), ["a b.bin", "empty", "one", "returned"]);
    assert.deepEqual(readdirSync(join(out, "returned")).sort(), ["a b.bin", "empty", "one"]);
    for (const path of paths) {
      const name = path.slice(path.lastIndexOf("/") + 1);
      assert.equal(sha256(join(out, name)), sha256(path));
      assert.equal(sha256(join(out, "returned", name)), sha256(path));
    }
  });

  test("a server process that is killed in the middle ends it with one line and no file", async () => {
    const out = freshOut();
    const { child, ended } = startQuic(["transfer", writeLarge("killed"), "--out", out]);
    await until(() => isReceiving(out));
    const [server] = childrenOf(child.pid as number);
    process.kill((server as { pid: number }).pid, "SIGKILL");
    const { code, stderr } = await ended;
    assert.equal(stderr, "quic transfer: the server process was killed by SIGKILL\n");
    assert.equal(code, 1);
    assert.equal(existsSync(out), false);
  });

  test("Ctrl-C ends it with one line and no file", async () => {
    const out = freshOut();
    const { child, ended } = startQuic(["transfer", writeLarge("interrupted"), "--out", out]);
    await until(() => isReceiving(out));
    const children = childrenOf(child.pid as number);
    for (const pid of [child.pid as number, ...children.map((each) => each.pid)]) process.kill(pid, "SIGINT");
    const { code, stderr } = await ended;
    assert.equal(stderr, "quic transfer: interrupted (SIGINT)\n");
    assert.equal(code, 130);
    assert.equal(existsSync(out), false);
    for (const { pid } of children) await until(() => !existsSync(`/proc/${pid}`));
  });
});

describe("quic transfer between two commands", { concurrency: 2 }, () => {
  /** A server that listens on a free port: it chose one itself. */
  async function startServer(out: string, ...args: string[]) {
    const server = startQuic(["transfer", "--listen", "--port", "0", "--out", out, ...args]);
    const port = await until(() => /listening on 127\.0\.0\.1:([0-9]+)/.exec(server.stdout())?.[1]);
    return { ...server, address: `127.0.0.1:${port}` };
  }

  test("the client pins the certificate that the server shows, and the server goes on", async () => {
    const [there, here] = [freshOut(), freshOut()];
    const { child, address, stdout, ended } = await startServer(there);
    const pin = await until(() => /--pin ([0-9a-f]{64})/.exec(stdout())?.[1]);
    for (const name of ["first", "second"]) {
      const path = writeSource(name, 100_000);
      const sent = await runQuic("transfer", path, "--connect", address, "--pin", pin, "--out", here);
      assert.equal(sent.stderr, "");
      assert.equal(sent.code, 0);
      assert.equal(sha256(join(there, name)), sha256(path));
      assert.equal(sha256(join(here, name)), sha256(path));
    }
    const wrong = await runQuic("transfer", folder.path("first"), "--connect", address, "--pin", "0".repeat(64));
    assert.match(wrong.stderr, /^quic transfer: TLS handshake with .* bad_certificate.*\n$/);
    assert.equal(wrong.code, 1);
    child.kill("SIGINT");
    assert.equal((await ended).code, 130);
  });

  test("a certificate of one's own is checked against --ca", async () => {
    const { cert, key } = writeCertificate("own");
    const { child, address, ended } = await startServer(freshOut(), "--cert", cert, "--key", key);
    const path = writeSource("checked", 1000);
    const sent = await runQuic("transfer", path, "--connect", address, "--ca", cert, "--out", freshOut());
    assert.equal(sent.stderr, "");
    assert.equal(sent.code, 0);
    const untrusted = await runQuic("transfer", path, "--connect", address);
    assert.match(untrusted.stderr, /^quic transfer: TLS handshake with .* failed.*\n$/);
    assert.equal(untrusted.code, 1);
    child.kill("SIGTERM");
    assert.equal((await ended).code, 143);
  });

  test("a server that is killed in the middle leaves no file under the final name, and the client says so", async () => {
    const { cert, key } = writeCertificate("silent");
    const [there, here] = [freshOut(), freshOut()];
    const server = await startServer(there, "--cert", cert, "--key", key);
    const args = ["transfer", writeLarge("silenced"), "--connect", server.address, "--ca", cert, "--timeout", "3"];
    const client = startQuic([...args, "--out", here]);
    await until(() => isReceiving(there));
    server.child.kill("SIGKILL");
    const { code, stderr } = await client.ended;
    assert.match(stderr, /^quic transfer: nothing came from 127\.0\.0\.1:[0-9]+ for 3 s: [^\n]*\n$/);
    assert.equal(code, 1);
    assert.equal(existsSync(join(there, "silenced")), false);
    assert.equal(existsSync(here), false);
  });

  test("a client that is killed in the middle leaves nothing at the server", async () => {
    const { cert, key } = writeCertificate("gone");
    const there = freshOut();
    const server = await startServer(there, "--cert", cert, "--key", key, "--timeout", "3");
    const client = startQuic(["transfer", writeLarge("gone"), "--connect", server.address, "--ca", cert]);
    await until(() => isReceiving(there));
    client.child.kill("SIGKILL");
    await until(() => /a transfer failed: nothing came from/.test(server.stdout()));
    assert.deepEqual(readdirSync(there), []);
    server.child.kill("SIGINT");
    await server.ended;
  });
});
