/**
 * ngtcp2 0.12 with GnuTLS, the programs of Debian's packages ngtcp2-client and ngtcp2-server, which speak HTTP/3 only. This
 * file runs one of them, reads its log and speaks for it to the harness: `node ngtcp2.mjs OPTIONS`. The log, not this file,
 * says that the handshake completed and that a Retry was sent or received.
 */

import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  describe,
  endWithHarness,
  pattern,
  readOptions,
  runClient,
  sha256,
  tell,
} from "../../../dist-test/interop/protocol.js";

const options = readOptions();
const folder = mkdtempSync(join(tmpdir(), "netquic-ngtcp2-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const LOG_LIMIT = 4 * 1024 * 1024;

/** Starts a program of ngtcp2 and keeps the beginning of its log. */
function start(program, args) {
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  const run = { child, log: "" };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("latin1");
    stream.on("data", (text) => {
      if (run.log.length < LOG_LIMIT) run.log += text;
      run.onLog?.();
    });
  }
  process.on("exit", () => child.kill("SIGKILL"));
  return run;
}

async function freePort() {
  const socket = createSocket("udp4");
  socket.bind(0, options.host);
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}

async function serve() {
  endWithHarness();
  const port = options.port === 0 ? await freePort() : options.port;
  writeFileSync(join(folder, "body"), pattern(options.bytes));
  const validate = options.retry ? ["-V"] : [];
  const run = start("gtlsserver", [
    "-d",
    folder,
    "--no-http-dump",
    ...validate,
    options.host,
    String(port),
    options.key,
    options.cert,
  ]);
  run.child.on("exit", (code) => {
    tell({ failed: `gtlsserver ended with ${code}: ${run.log.slice(-300)}` });
    process.exit(1);
  });
  let told = false;
  let toldRetry = false;
  run.onLog = () => {
    if (!toldRetry && /Retry/.test(run.log)) {
      toldRetry = true;
      tell({ retry: /.*Retry.*/.exec(run.log)[0].slice(0, 200) });
    }
    const alpn = /handshake has completed[^]*Negotiated ALPN is (\S+)\n/.exec(run.log)?.[1];
    if (!told && alpn !== undefined) {
      told = true;
      tell({ accepted: { alpn } });
    }
  };
  await isBound(port);
  tell({ listening: port });
}

/** gtlsserver says nothing when it is ready; the system does. */
async function isBound(port) {
  const entry = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, "0")} `);
  for (let tries = 0; tries < 200; tries++) {
    if (entry.test(readFileSync("/proc/net/udp", "utf8"))) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`gtlsserver did not bind port ${port}`);
}

async function runGtlsclient(args) {
  const uri = `https://localhost:${options.port}/`;
  const common = ["--exit-on-all-streams-close", "--no-http-dump", "--timeout=20s", `--download=${folder}`];
  const run = start("gtlsclient", [...common, ...args, options.host, String(options.port), uri]);
  const [code] = await once(run.child, "close");
  if (code !== 0) throw new Error(`gtlsclient ended with ${code}: ${run.log.slice(-300)}`);
  return run.log;
}

/** What `--download` saved of `GET /` or `POST /`. */
function downloaded() {
  return readFileSync(join(folder, "index.html"));
}

async function request() {
  if (options.case !== "transfer") return checkLog(await runGtlsclient([]));
  await runGtlsclient(["-q"]); // the log of every packet would cost more than the packets
  if (sha256(downloaded()) !== sha256(pattern(options.bytes)))
    throw new Error(`GET: ${downloaded().length} bytes, wrong checksum`);
  const file = join(folder, "upload");
  writeFileSync(file, pattern(options.bytes));
  await runGtlsclient(["-q", "-m", "POST", "-d", file]);
  const hex = downloaded().toString("latin1");
  if (hex !== sha256(pattern(options.bytes))) throw new Error(`POST: answered ${JSON.stringify(hex.slice(0, 80))}`);
  return `${options.bytes} down and ${options.bytes} up bytes, SHA-256 equal`;
}

function checkLog(log) {
  const alpn = /handshake has completed[^]*Negotiated ALPN is (\S+)\n/.exec(log)?.[1];
  if (alpn === undefined) throw new Error(`its log has no completed handshake: ${log.slice(-300)}`);
  if (!/handshake has been confirmed/.test(log)) throw new Error("its log has no confirmed handshake");
  if (options.case === "handshake") return `ALPN ${alpn}, handshake completed and confirmed`;
  const line = /.*\btype=Retry\b.*/.exec(log)?.[0];
  if (line === undefined) throw new Error("its log has no Retry");
  return `its log: ${line.replace(/^\S+ \S+ /, "").slice(0, 100)}`;
}

if (options.role === "server") {
  serve().catch((error) => {
    tell({ failed: describe(error) });
    process.exit(1);
  });
} else {
  await runClient(request);
  process.exit(0);
}
