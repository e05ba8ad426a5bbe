/**
 * Whole transfers between two namespaces: every rung of the datapath on small and jumbo links, CE marks, and links that
 * swallow large datagrams. A bridge joins them, and nftables is the unkind network.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { MTU_SEARCH_STEP_BYTES } from "#src/proto/limits.js";
import { ask, ip, type Leaf, nft, Star } from "./namespaces.js";
import type { Served, TransferReport } from "./transfer-peer.js";

const MIB = 1 << 20;
const UDP_BYTES = 8;
const HEAD_BYTES = { ipv4: 20 + UDP_BYTES, ipv6: 40 + UDP_BYTES };
/** Packets of the handshake that share datagrams, at most. */
const COALESCED = 8;

interface Plan {
  family: "ipv4" | "ipv6";
  mebibytes: number;
  maxPayloadSize?: number;
  /** NETQUIC_UDP of both ends. */
  udp?: string;
}

interface Outcome {
  client: TransferReport;
  server: TransferReport;
  /** Frames that the client's device sent. */
  frames: number;
}

/** Moves bytes both ways at once between the two leaves and checks every one of them. */
async function transfer(star: Star, plan: Plan): Promise<Outcome> {
  const [serverLeaf, clientLeaf] = star.leaves as [Leaf, Leaf];
  const env = { NETQUIC_DATAPATH: "native", NETQUIC_UDP: plan.udp ?? "" };
  const limits = plan.maxPayloadSize === undefined ? {} : { maxPayloadSize: plan.maxPayloadSize };
  const server = star.start(serverLeaf, "./transfer-peer.js", env);
  const client = star.start(clientLeaf, "./transfer-peer.js", env);
  try {
    const address = serverLeaf[plan.family];
    const bind = plan.family === "ipv6" ? `[${address}]:0` : `${address}:0`;
    const { port, ca } = await ask<Served>(server, { serve: { address: bind, ...limits } });
    const before = star.counter(clientLeaf, "eth0", "tx_packets");
    const bytes = plan.mebibytes * MIB;
    const order = { address, port, ca, upBytes: bytes, downBytes: bytes, ...limits };
    const clientReport = await ask<TransferReport>(client, { transfer: order });
    const serverReport = await ask<TransferReport>(server, { report: true });
    assert.equal(clientReport.received, serverReport.sent, "down");
    assert.equal(serverReport.received, clientReport.sent, "up");
    const frames = star.counter(clientLeaf, "eth0", "tx_packets") - before;
    return { client: clientReport, server: serverReport, frames };
  } finally {
    client.kill("SIGKILL");
    server.kill("SIGKILL");
  }
}

/** Both ends found datagrams that fill the link, to a few bytes. */
function assertFound({ client, server }: Outcome, carriedBytes: number): void {
  for (const { stats } of [client, server]) {
    const { maxDatagramBytes } = stats;
    assert.ok(
      maxDatagramBytes <= carriedBytes && maxDatagramBytes > carriedBytes - MTU_SEARCH_STEP_BYTES,
      `${maxDatagramBytes} bytes, the path carries ${carriedBytes}`,
    );
  }
}

for (const mtu of [1500, 9000]) {
  describe(`MTU ${mtu}: every rung, both families, both ways at once`, { timeout: 240_000 }, () => {
    let star: Star;

    before(() => {
      star = new Star(2, mtu);
    });

    after(() => star.dispose());

    for (const family of ["ipv4", "ipv6"] as const) {
      for (const [udp, rung] of [
        ["", "gso+gro"],
        ["no-gro", "gso+recvmmsg"],
        ["no-gso", "sendmmsg+gro"],
        ["no-gso,no-gro", "sendmmsg+recvmmsg"],
        ["no-gso,no-gro,sendmsg", "sendmsg+recvmsg"],
      ] as const) {
        test(`${family}, ${rung}`, async () => {
          const maxPayloadSize = mtu - 48;
          const outcome = await transfer(star, { family, udp, mebibytes: 8, maxPayloadSize });
          for (const { rung: used, stats } of [outcome.client, outcome.server]) {
            assert.equal(used, rung);
            assert.equal(stats.maxDatagramBytes, maxPayloadSize);
            assert.equal(stats.mtuBlackHoles, 0);
          }
          // veth hands trains on as they are: what was sent in one call is one frame
          const { packetsSent } = outcome.client.stats;
          if (rung.startsWith("gso")) assert.ok(outcome.frames < packetsSent / 2, `${outcome.frames} frames`);
          else
            assert.ok(outcome.frames >= packetsSent - COALESCED, `${outcome.frames} frames for ${packetsSent} packets`);
        });
      }
    }

    test("a device that cannot segment: the kernel does, and the transfer is whole", async () => {
      const [, clientLeaf] = star.leaves as [Leaf, Leaf];
      ip("-n", clientLeaf.name, "link", "set", "eth0", "gso_max_segs", "1");
      const outcome = await transfer(star, { family: "ipv4", mebibytes: 4, maxPayloadSize: mtu - 48 });
      assert.equal(outcome.client.rung, "gso+gro");
      assert.ok(outcome.frames >= outcome.client.stats.packetsSent - COALESCED);
    });
  });
}

describe("a kind of network that is unkind", { timeout: 240_000 }, () => {
  let star: Star;

  before(() => {
    star = new Star(2, 1500);
    // frames on the bridge are what the wire of a real path has: one datagram each
    for (const leaf of star.leaves) ip("-n", leaf.name, "link", "set", "eth0", "gso_max_segs", "1");
  });

  after(() => star.dispose());

  for (const family of ["ipv4", "ipv6"] as const) {
    const name = family === "ipv4" ? "ip" : "ip6";

    test(`RFC 9000 §13.4 CE marks are counted, reported and answered by a smaller window, ${family}`, async () => {
      const [, clientLeaf] = star.leaves as [Leaf, Leaf];
      const unmark = nft(
        clientLeaf,
        "inet",
        "hook output",
        `meta l4proto udp ${name} ecn ect0 numgen inc mod 100 0 ${name} ecn set ce`,
      );
      try {
        const { client, server } = await transfer(star, { family, mebibytes: 8 });
        const { ceReceived, ect0Received } = server.stats;
        assert.ok(ceReceived > 0 && ect0Received > 50 * ceReceived, `${ect0Received} ECT(0), ${ceReceived} CE`);
        assert.equal(client.stats.ecn, "capable");
        assert.ok(client.stats.ceReported > 0 && client.stats.ceReported <= ceReceived);
        assert.ok(client.stats.congestionEvents > 0);
        assert.ok(Number.isFinite(client.stats.ssthreshBytes), "slow start is over");
        assert.equal(client.stats.ceReceived, 0, "the way back has no marks");
        assert.equal(server.stats.ecn, "capable");
      } finally {
        unmark();
      }
    });

    test(`RFC 9000 §14.3 frames above 1,300 bytes vanish: nothing stalls, ${family}`, async () => {
      for (const maxPayloadSize of [undefined, 1452, 8952]) {
        const open = nft(star.hub, "bridge", "hook forward", "meta length > 1300 drop");
        try {
          const start = performance.now();
          const limits = maxPayloadSize === undefined ? {} : { maxPayloadSize };
          const outcome = await transfer(star, { family, mebibytes: 16, ...limits });
          assert.ok(performance.now() - start < 40_000);
          assertFound(outcome, 1300 - HEAD_BYTES[family]);
          assert.equal(outcome.client.stats.mtuBlackHoles, 0, "1200 bytes first");
        } finally {
          open();
        }
      }
    });

    test(`T41 RFC 8899 §4.3 they vanish from the middle of a transfer on: it goes on with smaller ones, ${family}`, async () => {
      const [, clientLeaf] = star.leaves as [Leaf, Leaf];
      const before = star.counter(clientLeaf, "eth0", "tx_bytes");
      let open = (): void => {};
      const poll = setInterval(() => {
        if (star.counter(clientLeaf, "eth0", "tx_bytes") - before < 8 * MIB) return;
        clearInterval(poll);
        open = nft(star.hub, "bridge", "hook forward", "meta length > 1300 drop");
      }, 5);
      try {
        const outcome = await transfer(star, { family, mebibytes: 128 });
        assert.ok(outcome.client.stats.mtuBlackHoles + outcome.server.stats.mtuBlackHoles >= 1, "it came too late");
        for (const { stats } of [outcome.client, outcome.server]) {
          if (stats.mtuBlackHoles > 0) assert.ok(stats.maxDatagramBytes <= 1300 - HEAD_BYTES[family]);
        }
      } finally {
        clearInterval(poll);
        open();
      }
    });
  }

  test("a datagram that the interface does not carry fails its size at once: one probe, not three", async () => {
    const { client } = await transfer(star, { family: "ipv4", mebibytes: 4, maxPayloadSize: 8952 });
    assert.ok(client.stats.maxDatagramBytes > 1472 - MTU_SEARCH_STEP_BYTES && client.stats.maxDatagramBytes <= 1472);
    assert.ok(client.stats.mtuProbesLost < 15, `${client.stats.mtuProbesLost} probes lost`);
  });
});
