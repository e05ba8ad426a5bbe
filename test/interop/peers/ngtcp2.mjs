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
  eachConnection,
  endWithHarness,
  pattern,
  readOptions,
  runClient,
  sha256,
  tell,
} from "../../../dist-test/interop/protocol.js";

const options = readOptions();
const folder = mkdtempSync(join(tmpdir(), "netquic-ngtcp2-"));
const children = new Set();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

const patience = `${options.patienceMillis}ms`;
const MOVE_AFTER = "200ms";
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
  children.add(child);
  child.on("close", () => children.delete(child));
  return run;
}

async function freePort() {
  const socket = createSocket(options.host.includes(":") ? "udp6" : "udp4");
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
  const limits = [`--handshake-timeout=${patience}`, `--timeout=${patience}`];
  const run = start("gtlsserver", [
    "-d",
    folder,
    "--no-http-dump",
    ...validate,
    ...limits,
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
    if (entry.test(readFileSync(options.host.includes(":") ? "/proc/net/udp6" : "/proc/net/udp", "utf8"))) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`gtlsserver did not bind port ${port}`);
}

/** Runs to its end; returns the log and what `--download` saved of `GET /` or `POST /`. */
async function runGtlsclient(args) {
  const uri = `https://localhost:${options.port}/`;
  const saved = mkdtempSync(join(folder, "saved-"));
  const limits = [`--handshake-timeout=${patience}`, `--timeout=${patience}`];
  const moves = options.migrates ? [`--change-local-addr=${MOVE_AFTER}`] : [];
  const common = ["--exit-on-all-streams-close", ...moves, ...limits, `--download=${saved}`];
  const run = start("gtlsclient", [...common, ...args, options.host, String(options.port), uri]);
  const [code] = await once(run.child, "close");
  if (code !== 0) throw new Error(`gtlsclient ended with ${code}: ${run.log.slice(-300)}`);
  return { log: run.log, body: () => readFileSync(join(saved, "index.html")) };
}

async function request() {
  if (options.bothWays) return transfer();
  if (options.streams > 1) return fetchMany();
  const resume = [`--session-file=${folder}/session`, `--tp-file=${folder}/parameters`];
  if (options.case === "resumption") resume.push("--disable-early-data");
  const resumes = options.case === "resumption" || options.case === "zerortt";
  if (resumes) await runGtlsclient([...resume, "--no-http-dump"]);
  const { log, body } = await runGtlsclient([...(resumes ? resume : []), "--no-http-dump"]);
  if (sha256(body()) !== sha256(pattern(options.bytes))) throw new Error(`GET: ${body().length} bytes, wrong checksum`);
  return checkLog(log);
}

/** All requests at once on one connection; the log has the size of each body, of which `--download` keeps only one. */
async function fetchMany() {
  const { log } = await runGtlsclient(["--no-quic-dump", "-n", String(options.streams)]);
  const bodies = new Map();
  for (const [, stream, size] of log.matchAll(/^http: stream (0x\w+) body (\d+) bytes$/gm)) {
    bodies.set(stream, (bodies.get(stream) ?? 0) + Number(size));
  }
  const whole = [...bodies.values()].filter((size) => size === options.bytes).length;
  if (whole !== options.streams) throw new Error(`its log has ${whole} bodies of ${options.bytes} bytes`);
  return `its log has ${whole} bodies of ${options.bytes} bytes`;
}

async function transfer() {
  const down = await runGtlsclient(["-q"]); // the log of every packet would cost more than the packets
  if (sha256(down.body()) !== sha256(pattern(options.bytes)))
    throw new Error(`GET: ${down.body().length} bytes, wrong checksum`);
  const file = join(folder, "upload");
  writeFileSync(file, pattern(options.bytes));
  const up = await runGtlsclient(["-q", "-m", "POST", "-d", file]);
  const hex = up.body().toString("latin1");
  if (hex !== sha256(pattern(options.bytes))) throw new Error(`POST: answered ${JSON.stringify(hex.slice(0, 80))}`);
  return `${options.bytes} down and ${options.bytes} up bytes, SHA-256 equal`;
}

function checkLog(log) {
  const alpn = /handshake has completed[^]*Negotiated ALPN is (\S+)\n/.exec(log)?.[1];
  if (alpn === undefined) throw new Error(`its log has no completed handshake: ${log.slice(-300)}`);
  if (!/handshake has been confirmed/.test(log)) throw new Error("its log has no confirmed handshake");
  if (!options.retry) return `ALPN ${alpn}, handshake completed and confirmed`;
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
  await runClient(() => eachConnection(options, request));
  process.exit(0);
}
