/** The limits of a host's configuration: they are each program's, and what all of them hold together counts. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { QuicSession } from "#src/api/quic/index.js";
import { pause } from "../api/support.js";
import { Children } from "./children.js";
import { TestHost, until } from "./support.js";

const SLOW_MILLIS = 20_000;
/** One of two that hold as much as this test sends holds less, both together more. */
const HIGH_BYTES = 400_000;
const BODY_BYTES = 250_000;
const HIGH_NOTE = "memory of all programs: high";

describe("memory of programs behind a host", () => {
  const host = new TestHost();
  const children = new Children(host);

  before(async () => {
    const limits = {
      memBytes: [100_000, 200_000, HIGH_BYTES],
      rmemBytes: [1200, 300_000, 300_000],
      wmemBytes: null,
    } as const;
    await host.start({ places: [{ address: "127.0.0.1", port: 0, ipv6Only: false }], limits });
  });

  after(() => {
    children.stop();
    host[Symbol.dispose]();
  });

  /** Asks again for a while, until the answer is one that counts. */
  async function meet(alpn: string, counts: (answer: QuicSession | string) => boolean): Promise<QuicSession | string> {
    let answer = await children.meet(alpn);
    for (let i = 0; i < 400 && !counts(answer); i++) {
      await pause(50);
      answer = await children.meet(alpn);
    }
    return answer;
  }

  test("two that hold little each are too much together; all refuse clients until one of them is gone", async () => {
    const first = await children.start("one", true);
    await children.start("two", true);
    for (const name of ["one", "two"]) {
      const session = await children.meet(name);
      assert.ok(typeof session === "object", String(session));
      assert.equal(session.remoteTransportParams?.initialMaxData, 300_000n, "quic_rmem of the host");
      const stream = await session.createUnidirectionalStream({ body: new Uint8Array(BODY_BYTES) });
      stream.closed.catch(() => {});
      if (name === "two") continue;
      await pause(700);
      assert.equal(host.notes.includes(HIGH_NOTE), false, "one alone is not too much");
    }
    await until(() => host.notes.includes(HIGH_NOTE), SLOW_MILLIS);
    for (const name of ["one", "two"]) {
      assert.equal(await meet(name, (answer) => typeof answer === "string"), "ERR_QUIC_CONNECTION_REFUSED");
    }
    first.kill("SIGKILL");
    assert.equal(typeof (await meet("two", (answer) => typeof answer === "object")), "object");
  });
});
