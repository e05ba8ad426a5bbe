/** The native UDP socket over veth: what routers, interfaces and full queues say, and that nothing breaks by it. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { ICMP_TOO_BIG, ICMP_UNREACHABLE } from "#src/port/udp.js";
import { ask, ip, nft, Star } from "./namespaces.js";
import type { UdpOrder, UdpReport } from "./udp-sender.js";

const MTU = 1500;
const FAR_MTU = 1400;
const FAR = { ipv4: "10.88.0.2", ipv6: "fd88::2" };
const NOWHERE = { ipv4: "10.99.0.2", ipv6: "fd99::2" };
const PORT = 4433;

/** Makes the hub a router: to a far network with a smaller MTU, where one host seems to be, and to one that is cut off. */
function makeRouter(star: Star): void {
  const { hub, leaves } = star;
  // Forwards, and answers with ICMP as often as there is reason to.
  const settings = {
    "ipv4/ip_forward": 1,
    "ipv6/conf/all/forwarding": 1,
    "ipv4/icmp_ratelimit": 0,
    "ipv6/icmp/ratelimit": 0,
  };
  const script = Object.entries(settings).map(([path, value]) => `echo ${value} > /proc/sys/net/${path}`);
  execFileSync("ip", ["netns", "exec", hub.name, "sh", "-ec", script.join("\n")]);
  ip("-n", hub.name, "link", "add", "far0", "mtu", `${FAR_MTU}`, "type", "veth", "peer", "name", "far1");
  ip("-n", hub.name, "address", "add", "10.88.0.1/24", "dev", "far0");
  ip("-n", hub.name, "address", "add", "fd88::1/64", "dev", "far0", "nodad");
  for (const device of ["far0", "far1"]) ip("-n", hub.name, "link", "set", device, "up");
  for (const address of Object.values(FAR))
    ip("-n", hub.name, "neighbour", "add", address, "lladdr", "02:00:00:00:00:02", "dev", "far0");
  // Not a route of type unreachable: what that answers is limited to one a second for each host, which no namespace can
  // change, out of tokens that any other ICMP message takes away where `icmp_ratelimit` is 0.
  ip("-n", hub.name, "route", "add", "10.99.0.0/24", "dev", "far0");
  ip("-n", hub.name, "-6", "route", "add", "fd99::/64", "dev", "far0");
  for (const address of ["ip daddr 10.99.0.0/24", "ip6 daddr fd99::/64"])
    nft(hub, "inet", "hook forward", `${address} reject with icmpx type host-unreachable`);
  for (const leaf of leaves) {
    ip("-n", leaf.name, "route", "add", "default", "via", hub.ipv4);
    ip("-n", leaf.name, "-6", "route", "add", "default", "via", hub.ipv6);
  }
}

describe("a UDP socket over veth", { timeout: 120_000 }, () => {
  let star: Star;

  before(() => {
    star = new Star(1, MTU);
    makeRouter(star);
  });

  after(() => star.dispose());

  async function order(what: Partial<UdpOrder> & Pick<UdpOrder, "to" | "sizes">): Promise<UdpReport> {
    const sender = star.start(star.leaves[0] as Star["hub"], "./udp-sender.js");
    try {
      return await ask<UdpReport>(sender, { bind: "0.0.0.0", port: PORT, waitMillis: 200, ...what });
    } finally {
      sender.kill("SIGKILL");
    }
  }

  for (const [bind, family, headerBytes] of [
    ["0.0.0.0", "ipv4", 28],
    ["::", "ipv6", 48],
    ["::", "ipv4", 28],
  ] as const) {
    test(`RFC 9000 §14.2 a router names the MTU of its next link: ${family} from ${bind}`, async () => {
      const to = FAR[family];
      const report = await order({ bind, to, sizes: [MTU - headerBytes, FAR_MTU - headerBytes], probes: true });
      const told = { address: to, port: PORT, kind: ICMP_TOO_BIG, mtuBytes: FAR_MTU };
      assert.deepEqual(report, { icmp: [told], tooBig: [], sendErrors: 0, sendBlocked: 0, datagramsSent: 2 });
    });

    test(`a router that knows no way is a hint, and no send fails for it: ${family} from ${bind}`, async () => {
      const to = NOWHERE[family];
      const report = await order({ bind, to, sizes: [100, 300, 200] });
      assert.equal(report.datagramsSent, 3);
      assert.equal(report.sendErrors, 0);
      assert.ok(report.icmp.length >= 1);
      for (const told of report.icmp)
        assert.deepEqual(told, { address: to, port: PORT, kind: ICMP_UNREACHABLE, mtuBytes: 0 });
    });

    test(`a probe larger than the interface carries is told at once: ${family} from ${bind}`, async () => {
      const fits = MTU - headerBytes;
      const to = star.hub[family];
      const report = await order({ bind, to, sizes: [fits, fits + 1, 1200], probes: true });
      assert.deepEqual(report.tooBig, [fits + 1]);
      assert.deepEqual([report.datagramsSent, report.sendErrors], [2, 0]);
    });

    test(`a train of datagrams that the interface does not carry is refused, the next one leaves: ${family} from ${bind}`, async () => {
      const fits = MTU - headerBytes;
      const to = star.hub[family];
      const report = await order({ bind, to, sizes: [fits + 1, fits + 1, fits + 1, fits, fits, 1200] });
      assert.deepEqual([report.datagramsSent, report.sendErrors], [3, 3]);
      assert.deepEqual(report.tooBig, [fits + 1, fits + 1, fits + 1]);
    });
  }

  test("a queue of the device that is full (ENOBUFS) holds the sender back, and nothing is lost", async () => {
    const leaf = star.leaves[0] as Star["hub"];
    const shape = ["rate", "20mbit", "burst", "3000", "limit", "6000"];
    execFileSync("tc", ["-n", leaf.name, "qdisc", "add", "dev", "eth0", "root", "tbf", ...shape]);
    const receiver = star.start(star.hub, "./offload-receiver.js");
    try {
      const { port } = await ask<{ port: number }>(receiver, { address: star.hub.ipv4 });
      const sizes = new Array<number>(60).fill(1200);
      const report = await order({ to: star.hub.ipv4, port, sizes, offload: { gso: false } });
      assert.deepEqual([report.datagramsSent, report.sendErrors, report.sendBlocked], [60, 0, 1]);
      const { datagrams } = await ask<{ datagrams: string[] }>(receiver, { datagrams: 60 });
      assert.deepEqual(
        datagrams.map((text) => Buffer.from(text, "base64")[0]),
        sizes.map((_, i) => i),
      );
    } finally {
      receiver.kill("SIGKILL");
      execFileSync("tc", ["-n", leaf.name, "qdisc", "del", "dev", "eth0", "root"]);
    }
  });
});
