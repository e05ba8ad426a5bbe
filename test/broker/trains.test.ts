/** Connections of one client to several programs go over one pair of addresses, so that the kernel joins their packets. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { content } from "../api/support.js";
import { Children } from "./children.js";
import { TestHost } from "./support.js";

const CLIENTS = 12;

const host = new TestHost();
const children = new Children(host);

before(async () => {
  await host.start({ places: [{ address: "127.0.0.1", port: 0, ipv6Only: false }] });
});

after(() => {
  children.stop();
  host[Symbol.dispose]();
});

test("a first flight in a train behind packets of another program's connection reaches its own", async () => {
  await children.start("one");
  await children.start("two");
  const bulk = await children.meet("one");
  assert.ok(typeof bulk === "object");
  for (let i = 0; i < CLIENTS; i++) {
    const stream = await bulk.createBidirectionalStream({ body: content(400_000) });
    stream.closed.catch(() => {});
    const answer = await children.meet("two");
    assert.equal(typeof answer, "object", String(answer));
  }
});
