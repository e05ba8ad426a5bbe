/** A tunnel whose client's host changes under it: the TCP connection inside goes on. */

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "node:test";
import { ask, ip, type Leaf, nft, Star } from "./namespaces.js";
import type { Served, TunnelReport } from "./tunnel-peer.js";

const LIMIT_MILLIS = 40_000;

interface Scene {
  star: Star;
  clientLeaf: Leaf;
  report(): Promise<TunnelReport>;
  /** Resolves when so many more pieces went there and back. */
  goesOn(pieces?: number): Promise<void>;
}

async function withTunnel(family: "ipv4" | "ipv6", run: (scene: Scene) => Promise<void>): Promise<void> {
  const star = new Star(2, 1500);
  const children: ChildProcess[] = [];
  try {
    const [serverLeaf, clientLeaf] = star.leaves as [Leaf, Leaf];
    for (const { name } of star.leaves) ip("-n", name, "link", "set", "lo", "up");
    const [server, client] = [serverLeaf, clientLeaf].map((leaf) => star.start(leaf, "./tunnel-peer.js")) as [
      ChildProcess,
      ChildProcess,
    ];
    children.push(server, client);
    const host = family === "ipv6" ? `[${serverLeaf.ipv6}]` : serverLeaf.ipv4;
    const { port, ca } = await ask<Served>(server, { serve: `${host}:0` });
    await ask(client, { join: { server: `${host}:${port}`, ca } });
    const report = (): Promise<TunnelReport> => ask<TunnelReport>(client, { report: true });
    const goesOn = async (pieces = 50): Promise<void> => {
      const before = (await report()).pieces;
      for (const end = performance.now() + LIMIT_MILLIS; performance.now() < end; await sleep(20)) {
        const now = await report();
        assert.equal(now.ended, null, `the connection inside ended: ${now.events.join(" ")}`);
        if (now.pieces >= before + pieces) return;
      }
      assert.fail(`it stands still: ${(await report()).events.join(" ")}`);
    };
    await goesOn();
    await run({ star, clientLeaf, report, goesOn });
    const { events } = await report();
    assert.equal(events.filter((type) => type === "up").length, 1, "one QUIC connection all the time");
  } finally {
    for (const child of children) child.kill("SIGKILL");
    star.dispose();
  }
}

describe("a tunnel whose client moves", { timeout: 240_000 }, () => {
  for (const family of ["ipv4", "ipv6"] as const) {
    const [old, next] = family === "ipv4" ? ["10.77.0.3/24", "10.77.0.77/24"] : ["fd77::3/64", "fd77::77/64"];

    test(`RFC 9000 §9 its address is replaced by another, ${family}`, () =>
      withTunnel(family, async ({ clientLeaf, report, goesOn }) => {
        const more = family === "ipv6" ? ["nodad"] : [];
        ip("-n", clientLeaf.name, "address", "del", old as string, "dev", "eth0");
        ip("-n", clientLeaf.name, "address", "add", next as string, "dev", "eth0", ...more);
        await goesOn();
        const hasMoved = async (): Promise<boolean> => (await report()).events.includes("moved");
        for (const end = performance.now() + LIMIT_MILLIS; !(await hasMoved()); await sleep(20))
          assert.ok(performance.now() < end, "it never moved");
        await goesOn();
      }));
  }

  test("RFC 9000 §9.6 the network is down for three seconds", () =>
    withTunnel("ipv4", async ({ clientLeaf, goesOn }) => {
      ip("-n", clientLeaf.name, "link", "set", "eth0", "down");
      await sleep(3000);
      ip("-n", clientLeaf.name, "link", "set", "eth0", "up");
      await goesOn();
    }));

  test("RFC 9000 §9.3.1 something on the way swallows what comes from the client's port: it takes another", () =>
    withTunnel("ipv4", async ({ star, report, goesOn }) => {
      const { udpPort } = await clientPort(star);
      const open = nft(star.hub, "bridge", "hook forward", `udp sport ${udpPort} drop`);
      try {
        await goesOn();
        assert.ok((await report()).events.includes("moved"));
      } finally {
        open();
      }
    }));
});

/** The UDP port that the client's QUIC connection has now. */
async function clientPort(star: Star): Promise<{ udpPort: number }> {
  const [, clientLeaf] = star.leaves as [Leaf, Leaf];
  const table = ip("netns", "exec", clientLeaf.name, "cat", "/proc/net/udp");
  const [row] = table.trim().split("\n").slice(1);
  const port = /:([0-9A-F]{4}) /.exec(row ?? "")?.[1];
  assert.ok(port !== undefined, table);
  return { udpPort: Number.parseInt(port, 16) };
}
