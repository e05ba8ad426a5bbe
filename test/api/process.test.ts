import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text as readText } from "node:stream/consumers";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "#src/api/quic/index.js";
import { addressOf, ALPN, quicError, readAll, testCa, until, withBench } from "./support.js";

const PROGRAM = fileURLToPath(new URL("./program.js", import.meta.url));

function run(args: string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, [PROGRAM, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
}

/** The first line of its output, parsed. */
async function firstLine<T>(child: ChildProcess): Promise<T> {
  const [line] = (await once(createInterface({ input: child.stdout! }), "line")) as [string];
  return JSON.parse(line) as T;
}

describe("processes", () => {
  for (const how of ["close", "destroy"]) {
    test(`one that has done a transfer and calls ${how} ends by itself`, async () => {
      const child = run(["whole", how]);
      let stderr = "";
      child.stderr?.on("data", (chunk: Buffer) => {
        stderr += chunk.toString();
      });
      const exited = once(child, "close");
      assert.deepEqual(await firstLine(child), { same: true });
      const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
      assert.deepEqual(await exited, [0, null]);
      clearTimeout(timer);
      assert.match(stderr, /^netquic: self-signed development certificate for localhost.*SHA-256 [0-9a-f]{64}\n$/);
    });
  }

  test(
    "a server that is killed: ERR_QUIC_IDLE_TIMEOUT for the session and its streams",
    withBench(async (bench) => {
      const child = run(["server"]);
      bench.later(() => child.kill("SIGKILL"));
      const { port, hash: value } = await firstLine<{ port: number; hash: string }>(child);
      const session = await connect(`127.0.0.1:${port}`, {
        alpn: ALPN,
        ext: { serverCertificateHashes: [{ value }] },
        transportParams: { maxIdleTimeout: 2 },
        keepAlive: 100,
      });
      bench.later(() => session.destroy());
      assert.equal((await readAll(await session.createBidirectionalStream({ body: "x" }))).toString(), "x");
      const stream = await session.createBidirectionalStream();
      const writing = quicError(stream.writer.write(new Uint8Array(64_000_000)));
      const reading = quicError(readAll(stream));
      child.kill("SIGKILL");
      const error = await quicError(session.closed);
      assert.equal(error.code, "ERR_QUIC_IDLE_TIMEOUT");
      assert.equal(await writing, error);
      assert.equal(await reading, error);
      assert.equal(await quicError(stream.closed), error);
    }),
  );

  test(
    "one that takes the port of a killed server resets its connections: ERR_QUIC_STATELESS_RESET",
    withBench(async (bench) => {
      const { listen } = await import("#src/api/quic/index.js");
      const secret = { resetTokenSecret: new Uint8Array(16), tokenSecret: new Uint8Array(16) };
      const endpoint = await bench.serve(() => {}, { endpoint: { address: "127.0.0.1:0", ...secret } });
      const session = await bench.connect(endpoint);
      // before it is confirmed, a handshake would be tried again, in packets that get no reset
      await until(() => session.stats.handshakeConfirmedAt > 0n);
      const address = `127.0.0.1:${endpoint.address?.port}`;
      // the process forgets everything and says nothing, as a crash does
      const lost = await forget(endpoint);
      assert.equal(lost, true);
      const again = await listen(() => {}, {
        alpn: [ALPN],
        ext: { devCertificate: true },
        endpoint: { address, ...secret },
      });
      bench.later(() => again.destroy());
      await session.createUnidirectionalStream({ body: "anybody there?" });
      const error = await quicError(session.closed);
      assert.deepEqual([error.code, error.remote], ["ERR_QUIC_STATELESS_RESET", true]);
    }),
  );

  test("SSLKEYLOGFILE gets the secrets of both sides, readable by the user alone", async () => {
    const folder = mkdtempSync(join(tmpdir(), "netquic-keylog-"));
    try {
      const file = join(folder, "keys.log");
      const child = run(["whole", "close"], { SSLKEYLOGFILE: file });
      const exited = once(child, "close");
      await firstLine(child);
      assert.deepEqual(await exited, [0, null]);
      const labels = readFileSync(file, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => line.split(" ")[0]);
      for (const label of ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"]) {
        assert.equal(labels.filter((each) => each === label).length, 2);
      }
      assert.equal(statSync(file).mode & 0o777, 0o600);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test(
    "NODE_EXTRA_CA_CERTS belongs to the default store",
    withBench(async (bench) => {
      const folder = mkdtempSync(join(tmpdir(), "netquic-ca-"));
      bench.later(() => rmSync(folder, { recursive: true }));
      const file = join(folder, "ca.pem");
      writeFileSync(file, testCa().cert);
      const endpoint = await bench.serve(() => {});
      for (const [env, alert] of [
        [{ NODE_EXTRA_CA_CERTS: "" }, 48],
        [{ NODE_EXTRA_CA_CERTS: file }, 0],
      ] as const) {
        const child = run(["client", addressOf(endpoint)], env);
        const exited = once(child, "close");
        assert.deepEqual(await firstLine(child), { alert });
        assert.deepEqual(await exited, [0, null]);
      }
    }),
  );

  test("the program in docs/node-quic.md says hello and ends", async () => {
    const text = readFileSync(new URL("../../docs/node-quic.md", import.meta.url), "utf8");
    const code = /```js\n(.*?)```/s.exec(text)?.[1] ?? "";
    // beside this file it is inside the package, which may import itself by name
    const file = fileURLToPath(new URL("./node-quic-example.mjs", import.meta.url));
    writeFileSync(file, code);
    const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "ignore"] });
    const exited = once(child, "close");
    const [output, exit] = await Promise.all([readText(child.stdout!), exited]);
    assert.equal(output, "hello");
    assert.deepEqual(exit, [0, null]);
  });

  test("importing works without addon and TLS library; connect names the line that fixes it", async () => {
    const script = `
      const { connect } = await import(${JSON.stringify(import.meta.resolve("#src/api/quic/index.js"))});
      await connect("127.0.0.1:9").catch((error) => console.log(JSON.stringify({ code: error.code })));`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, NETQUIC_TLS: "none" },
    });
    assert.deepEqual(await firstLine(child), { code: "ERR_NETQUIC_NO_TLS" });
  });
});

/** Takes an endpoint's socket away without a word to its peers. */
async function forget(endpoint: { destroy(): void; closed: Promise<void> }): Promise<boolean> {
  const { coreOf } = await import("#src/api/quic/endpoint.js");
  const { host } = coreOf(endpoint as never);
  host?.endpoint.destroy();
  endpoint.destroy();
  await endpoint.closed;
  return host !== null;
}
