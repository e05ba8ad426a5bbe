/** The addon's TLS calls against callers that pass nonsense, and handles that nobody closes. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { chooseTls } from "../choose-tls.js";
import { loadAddon } from "./addon.js";
import { devCertificate } from "./x509.js";

type Calls = Record<
  | "tlsLibrary"
  | "tlsHasGroup"
  | "tlsTrust"
  | "tlsContext"
  | "tlsSession"
  | "tlsPut"
  | "tlsAllowEarlyData"
  | "tlsTake"
  | "tlsClose",
  (...args: unknown[]) => unknown
>;

const provider = chooseTls(process.env);
const identity = devCertificate({ hosts: ["localhost"] });

describe("the addon's TLS calls", () => {
  const addon = loadAddon<Calls>();
  const nonsense: unknown[] = [undefined, null, 0, -1, Number.NaN, "", "x", {}, [], () => 0, Symbol("s"), 1n];

  test("throw for arguments of the wrong kind", () => {
    const trust = addon.tlsTrust(provider.name, { pems: [], lenient: false, crls: [] });
    for (const bad of [...nonsense, new Proxy({}, {}), new Uint8Array(8)]) {
      for (const call of [addon.tlsLibrary, addon.tlsTake, addon.tlsClose]) assert.throws(() => call(bad));
      assert.throws(() => addon.tlsHasGroup(bad, "X25519"));
      assert.throws(() => addon.tlsTrust(provider.name, bad));
      assert.throws(() => addon.tlsTrust(provider.name, { pems: bad, lenient: bad, crls: [] }));
      assert.throws(() => addon.tlsTrust(provider.name, { pems: [], lenient: true, crls: [bad] }));
      if (typeof bad !== "string") {
        assert.throws(() => addon.tlsTrust(provider.name, { pems: [bad], lenient: true, crls: [] }));
      }
      assert.throws(() => addon.tlsContext(provider.name, bad, trust));
      assert.throws(() => addon.tlsSession(bad, {}));
      assert.throws(() => addon.tlsPut(bad, 0, new Uint8Array(1)));
      assert.throws(() => addon.tlsPut(trust, 0, new Uint8Array(1)), "a handle of another kind");
      assert.throws(() => addon.tlsAllowEarlyData(trust, "h3"));
    }
    for (const [name, call] of Object.entries(addon)) if (name.startsWith("tls")) assert.throws(() => call());
  });

  test("pass on what a getter throws", () => {
    const trap = {
      get pems(): string[] {
        throw new RangeError("trap");
      },
    };
    assert.throws(() => addon.tlsTrust(provider.name, trap), /trap/);
  });

  test("put refuses bad levels and bytes without harm to the session", () => {
    const context = provider.newServerContext({ alpn: ["h3"], identities: { "*": identity } });
    const session = context.newSession({ transportParams: new Uint8Array(0) });
    for (const level of [-1, 4, 1.5e10, Number.NaN, "0"]) {
      assert.throws(() => session.put(level as 0, Uint8Array.of(1)), String(level));
    }
    for (const bytes of [null, "x", [1], new Uint16Array(2), new ArrayBuffer(2)]) {
      assert.throws(() => session.put(0, bytes as unknown as Uint8Array));
    }
    assert.equal(session.take(), null);
    session.close();
    context.close();
  });
});

describe("handles that nobody closes", () => {
  test("are freed by the garbage collector", async () => {
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc") as () => void;
    const config = { alpn: ["h3"], ca: [identity.cert], serverName: "localhost", verify: "strict" } as const;
    const litter = async (count: number) => {
      const context = provider.newClientContext({ ...config, alpn: ["h3"], ca: [identity.cert] });
      for (let i = 0; i < count; i++) context.newSession({ transportParams: new Uint8Array(8) });
      gc();
      await sleep(1); // finalizers run between turns
    };
    for (let i = 0; i < 4; i++) await litter(250);
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 16; i++) await litter(250);
    const grownMiB = (process.memoryUsage().rss - before) / 2 ** 20;
    // A leaked client costs some 50 KiB, 200 MiB in all.
    assert.ok(grownMiB < 48, `grew by ${grownMiB.toFixed(1)} MiB`);
  });
});

describe("the default trust store", () => {
  test("holds the certificates of NODE_EXTRA_CA_CERTS, without its broken entries", () => {
    const folder = mkdtempSync(join(tmpdir(), "netquic-ca-"));
    const file = join(folder, "extra.pem");
    const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    writeFileSync(file, broken + identity.cert);
    const here = JSON.stringify(new URL("./", import.meta.url).href);
    const script = `
      const { chooseTls } = await import(new URL("../choose-tls.js", ${here}));
      const { Pair } = await import(new URL("./tls-pair.contract.js", ${here}));
      const tls = chooseTls(process.env), params = { transportParams: new Uint8Array(4) };
      const identity = ${JSON.stringify(identity)};
      const client = tls.newClientContext({ alpn: ["h3"], serverName: "localhost", verify: "strict" });
      const server = tls.newServerContext({ alpn: ["h3"], identities: { "*": identity } });
      const infos = await new Pair(client.newSession(params), server.newSession(params)).handshake();
      console.log("alpn " + infos.client.alpn);`;
    try {
      const env = { ...process.env, NODE_EXTRA_CA_CERTS: file };
      const child = spawnSync(process.execPath, ["--input-type=module", "-e", script], { env, encoding: "utf8" });
      assert.match(child.stdout, /^alpn h3$/m, child.stderr);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
