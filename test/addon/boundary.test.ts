/**
 * The addon against callers that are wrong, hostile or gone: whatever JavaScript does, it gets an error and never a crash.
 * Everything runs in child processes, because a fault would end this one. A failure names what replays it.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { loadAddon } from "#src/runtime/native/addon.js";
import { devCertificate } from "#src/runtime/native/x509.js";

const LIMIT_MILLIS = 150_000;

/** A search for leaks that fails while threads are ending puts its own exit code in the place of the one that is asked for. */
function withoutLeakSearch(): NodeJS.ProcessEnv {
  const { ASAN_OPTIONS } = process.env;
  return ASAN_OPTIONS === undefined ? process.env : { ...process.env, ASAN_OPTIONS: `${ASAN_OPTIONS}:detect_leaks=0` };
}

/** Runs a program of this folder to its end. */
async function run(
  program: string,
  args: (string | number)[],
  wanted: number,
  nodeFlags: string[] = [],
): Promise<string> {
  const path = fileURLToPath(new URL(program, import.meta.url));
  const child = spawn(process.execPath, [...nodeFlags, path, ...args.map(String)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: wanted === 0 ? process.env : withoutLeakSearch(),
  });
  const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT_MILLIS);
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once("close", (...ended) => resolve(ended)),
  );
  clearTimeout(limit);
  const replay = `${program} ${args.join(" ")}`;
  assert.equal(signal ?? code, wanted, `replay with: node ${replay}\n${text.slice(-4_000)}`);
  return text;
}

describe("every function of the addon takes any arguments without a crash", () => {
  for (const seed of [1, 2]) {
    test(`50,000 calls from seed ${seed}`, async () => {
      assert.match(await run("fuzz.js", [seed, 50_000], 0), /^done$/m);
    });
  }

  test("two threads that loaded it at the same time", async () => {
    assert.match(await run("fuzz.js", [3, 20_000, "workers"], 0), /^done$/m);
  });

  test("at the end of the stack", async () => {
    await run("lifecycle.js", ["deep-stack"], 3);
  });
});

describe("handles at the ends of their lives", () => {
  test("sockets closed inside their own callbacks, and each other's", async () => {
    await run("lifecycle.js", ["close-in-callback"], 0);
  });

  for (const how of ["exit-live", "exit-in-callback", "throw-in-callback"]) {
    test(`a process that ends with everything open: ${how}`, async () => {
      await run("lifecycle.js", [how], 3);
    });
  }

  test("workers that end with everything open leave no descriptor", async () => {
    await run("lifecycle.js", ["workers"], 0);
  });

  const churns: [kind: string, count: number][] = [
    ["socket", 20_000],
    ["fetch", 20_000],
    ["timer", 20_000],
    ["key", 50_000],
    ["headerKey", 50_000],
    ["serverSession", 4_000],
    ["clientSession", 1_500],
    ["serverContext", 1_500],
    ["clientContext", 3_000],
  ];
  for (const [kind, count] of churns) {
    test(`create and close: ${kind}, ${count} times, without growth`, async () => {
      await run("lifecycle.js", [kind, count], 0);
    });
  }
});

describe("what crashed once or went through", () => {
  type Call = (...args: unknown[]) => unknown;
  const addon = loadAddon<Record<string, Call>>();
  const [udpOpen, udpSend, udpClose] = [addon.udpOpen, addon.udpSend, addon.udpClose] as [Call, Call, Call];
  const loopback = Int32Array.of(0, 0, 0xffff, 0x7f000001, 0, 0, 0, 0, 0, 0);
  const open = (stats: unknown, callback: unknown) =>
    udpOpen(loopback, new Int32Array(10), 0, 65_536, 65_536, stats, callback) as number;

  test("the memory of a socket's counters may go away", () => {
    const box = new Float64Array(1 << 20);
    const handle = open(box, () => {});
    structuredClone(box.buffer, { transfer: [box.buffer] });
    const dest = Int32Array.from(loopback).fill(9, 4, 5);
    assert.equal(udpSend(handle, new Uint8Array(10), Int32Array.of(0, 10, 0, 0, 0), 1, dest, 1), true);
    udpClose(handle);
  });

  test("a socket's callback is a function", () => {
    for (const callback of [{}, Symbol("s"), null, 1]) assert.equal(open(new Float64Array(16), callback), -22);
  });

  test("a number that is no slot is not taken for slot 0", () => {
    const handle = open(new Float64Array(16), () => {});
    const slot = addon.aeadNewKey?.(1, new Uint8Array(16), new Uint8Array(12)) as number;
    for (const alias of [Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32, 0.5]) {
      udpClose(handle + alias);
      assert.equal(addon.aeadFreeKey?.(slot + alias), false, String(alias));
    }
    assert.equal(udpSend(handle, new Uint8Array(1), new Int32Array(0), 0, loopback, 0), true, "still open");
    assert.equal(addon.aeadFreeKey?.(slot), true);
    udpClose(handle);
  });

  test("a file is read into the part that was named, and a part outside of its array is refused", () => {
    const fd = openSync(fileURLToPath(import.meta.url), "r");
    readFileSync(fd); // what is not in memory is EAGAIN
    const read = (...args: unknown[]) => addon.fileRead?.(fd, ...args);
    const bytes = new Uint8Array(100);
    assert.equal(read(bytes, 10, 20, 0), 10);
    assert.ok(bytes.every((byte, at) => (byte !== 0) === (at >= 10 && at < 20)));
    const detached = new Uint8Array(100);
    structuredClone(null, { transfer: [detached.buffer] });
    for (const part of [
      [bytes, -1, 5],
      [bytes, 6, 5],
      [bytes, 0, 101],
      [bytes, 0, 2 ** 32],
      [bytes, 0.5, 1],
      [new Float64Array(100), 0, 5],
      [detached, 0, 1],
      [bytes.buffer, 0, 5],
    ]) {
      assert.throws(() => read(...part, 0), { code: "ERR_INVALID_ARG_TYPE" });
      assert.throws(() => addon.fileTake?.(0, ...part), { code: "ERR_INVALID_ARG_TYPE" });
    }
    for (const position of [-2, 0.5, 2 ** 53, Number.NaN, "0"])
      assert.throws(() => read(bytes, 0, 5, position), { code: "ERR_INVALID_ARG_TYPE" });
    for (const length of [0, -1, 2 ** 20 + 1])
      assert.throws(() => addon.fileFetch?.(fd, length, 0, () => {}), { code: "ERR_INVALID_ARG_TYPE" });
    assert.throws(() => addon.fileFetch?.(fd, 1, 0, {}), { code: "ERR_INVALID_ARG_TYPE" });
    closeSync(fd);
  });

  test("a fetch survives its file and whoever asked for it", async () => {
    const fd = openSync(fileURLToPath(import.meta.url), "r");
    const results: number[] = [];
    const slots = [1, 2, 3].map((_, i) => addon.fileFetch?.(fd, 1000, i, (result: number) => results.push(result)));
    closeSync(fd);
    assert.equal(addon.fileDrop?.(slots[1]), true);
    assert.equal(addon.fileDrop?.(slots[1]), false);
    while (results.length < 2) await new Promise((resolve) => setImmediate(resolve));
    const bytes = new Uint8Array(1500);
    assert.equal(addon.fileTake?.(slots[0], bytes, 0, 600), 600);
    assert.equal(addon.fileTake?.(slots[0], bytes, 600, 1500), 400);
    assert.equal(addon.fileTake?.(slots[0], bytes, 0, 100), 0);
    assert.equal(addon.fileTake?.(slots[1], bytes, 0, 100), 0, "dropped");
    assert.equal(Buffer.compare(bytes.subarray(0, 1000), readFileSync(new URL(import.meta.url)).subarray(0, 1000)), 0);
    for (const slot of [slots[0], slots[2]]) assert.equal(addon.fileDrop?.(slot), true);
    assert.deepEqual(results, [1000, 1000]);
  });

  test("tables are not shared with other threads", () => {
    const shared = new Int32Array(new SharedArrayBuffer(400));
    assert.throws(() => addon.aeadSeal?.(new Uint8Array(100), shared, 1), { code: "ERR_INVALID_ARG_TYPE" });
    assert.throws(() => udpSend(0, new Uint8Array(1), shared, 1, loopback, 1), { code: "ERR_INVALID_ARG_TYPE" });
  });

  test("the length of a list allocates nothing", () => {
    const pems = Object.assign([], { length: 4_294_967_295 });
    assert.throws(() => addon.tlsTrust?.(chooseTls(process.env).name, { pems, lenient: true, crls: [] }), {
      code: "ERR_INVALID_ARG_TYPE",
    });
  });

  test("a trust of one TLS library is none of the other's", () => {
    const there = ["openssl", "gnutls"].filter(
      (name) => (addon.tlsLibrary?.(name) as { missing: string }).missing === "",
    );
    const config = {
      ...{
        isServer: false,
        report: false,
        keylog: false,
        earlyData: false,
        clientCert: 0,
        alpn: ["h3"],
        groups: "X25519",
      },
      ...{ ticketKey: new Uint8Array(0), names: [], certs: [], keys: [], pskIdentities: [], pskKeys: [] },
    };
    const ciphers: Record<string, string> = {
      openssl: "TLS_AES_128_GCM_SHA256",
      gnutls: "NORMAL:-VERS-ALL:+VERS-TLS1.3",
    };
    for (const own of there)
      for (const other of there) {
        const trust = addon.tlsTrust?.(other, { pems: [], lenient: false, crls: [] });
        const make = () => addon.tlsContext?.(own, { ...config, ciphers: ciphers[own] }, trust);
        if (own === other) assert.doesNotThrow(make);
        else assert.throws(make, { code: "ERR_INVALID_ARG_TYPE" });
      }
  });

  test("a name that cannot be checked fails the session, not the check", () => {
    const { name: library } = chooseTls(process.env);
    const { cert } = devCertificate({ hosts: ["localhost"] });
    const trust = addon.tlsTrust?.(library, { pems: [cert], lenient: false, crls: [] });
    const ciphers = library === "openssl" ? "TLS_AES_128_GCM_SHA256" : "NORMAL:-VERS-ALL:+VERS-TLS1.3";
    const flags = { isServer: false, report: false, keylog: false, earlyData: false, clientCert: 0 };
    const lists = { alpn: ["h3"], names: [], certs: [], keys: [], pskIdentities: [], pskKeys: [] };
    const config = { ...flags, ...lists, ciphers, groups: "X25519" };
    const context = addon.tlsContext?.(library, config, trust);
    const options = {
      transportParams: new Uint8Array(4),
      ticketKeys: new Uint8Array(0),
      ticket: new Uint8Array(0),
      sni: "",
      verifyDns: "",
      verifyIp: "",
      earlyData: false,
    };
    assert.doesNotThrow(() => addon.tlsSession?.(context, options));
    assert.throws(() => addon.tlsSession?.(context, { ...options, verifyDns: "localhost\0.example" }));
    // GnuTLS gets the address at the check itself, which then fails.
    if (library === "openssl") assert.throws(() => addon.tlsSession?.(context, { ...options, verifyIp: "1.2.3" }));
  });
});
