/** The offload over veth: one sender, two receivers, a bridge between them, and node:crypto as the judge. */

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { protect } from "#src/api/offload/reference.contract.js";
import { ask, ip, Star } from "./namespaces.js";
import { PLAIN, SEND_SECRETS, WIRE_SIZES } from "./offload-batch.js";
import type { SendOrder, SendReport } from "./offload-sender.js";

describe("9,000 bytes at 1,200 over veth are seven full datagrams and one of 728", { timeout: 120_000 }, () => {
  let star: Star;
  let sender: ChildProcess;

  before(() => {
    star = new Star(2, 1500);
    sender = star.start(star.hub, "./offload-sender.js");
  });

  after(() => star.dispose());

  /** Two flows, one to each leaf; returns how many frames the first leaf's port carried. */
  async function run(family: "ipv4" | "ipv6", mapped: boolean, order: Partial<SendOrder>): Promise<number> {
    const receivers = star.leaves.map((leaf) => star.start(leaf, "./offload-receiver.js"));
    try {
      const targets: SendOrder["targets"] = [];
      for (const [i, leaf] of star.leaves.entries()) {
        const { port } = await ask<{ port: number }>(receivers[i], { address: leaf[family] });
        targets.push({ address: mapped ? `::ffff:${leaf[family]}` : leaf[family], port });
      }
      const before = star.counter(star.hub, "port0", "tx_packets");
      const bind = mapped ? "::" : star.hub[family];
      const report = await ask<SendReport>(sender, { bind, targets, socketGso: 0, ...order });
      assert.deepEqual(report, { withoutFlow: "EINVAL", accepted: [9000, 9000] });
      for (const [i, receiver] of receivers.entries()) {
        const { datagrams } = await ask<{ datagrams: string[] }>(receiver, { datagrams: 8 });
        const wire = datagrams.map((text) => new Uint8Array(Buffer.from(text, "base64")));
        assert.deepEqual(
          wire.map((each) => each.length),
          WIRE_SIZES,
        );
        for (const [pn, data] of wire.entries()) {
          assert.deepEqual(data, protect(PLAIN[pn], 8, pn, SEND_SECRETS[i]), `flow ${i}, packet ${pn}`);
        }
      }
      return star.counter(star.hub, "port0", "tx_packets") - before;
    } finally {
      for (const receiver of receivers) receiver.kill("SIGKILL");
    }
  }

  for (const [how, family, mapped, order] of [
    ["IPv4, segment size by the message", "ipv4", false, { messageGso: 1200 }],
    ["IPv6, segment size by the message", "ipv6", false, { messageGso: 1200 }],
    ["IPv4-mapped addresses of an IPv6 socket", "ipv4", true, { messageGso: 1200 }],
    ["segment size by the socket", "ipv4", false, { socketGso: 1200 }],
    [
      "the message's segment size overrides a wrong one of the socket",
      "ipv6",
      false,
      { socketGso: 26, messageGso: 1200 },
    ],
  ] as const) {
    test(how, async () => {
      await run(family, mapped, order);
    });
  }

  test("without segmentation by the device the wire carries eight frames", async () => {
    for (const device of ["br0", "port0", "port1"]) ip("-n", star.hub.name, "link", "set", device, "gso_max_segs", "1");
    const frames = await run("ipv4", false, { messageGso: 1200 });
    assert.ok(frames >= 8, `${frames} frames`);
  });
});
