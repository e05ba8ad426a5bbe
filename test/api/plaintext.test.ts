import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Level } from "#src/port/tls.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { echo, testCa, testLeaf, withBench } from "./support.js";

const ASKS = { ext: { disable1RttEncryption: true } };
const BYTES = new Uint8Array(3_000_000).map((_, i) => (i * 31) ^ (i >> 8));

function serverOf(options: object): object {
  const { cert: certs, key: keys } = testLeaf();
  return { ...options, sni: { "*": { keys, certs } } };
}

describe("ext.disable1RttEncryption", () => {
  for (const [name, server, client, isPlain] of [
    ["both sides ask", ASKS, ASKS, true],
    ["only the server asks", ASKS, {}, false],
    ["only the client asks", {}, ASKS, false],
    ["nobody asks", {}, {}, false],
  ] as const) {
    test(
      `${name}: packets are ${isPlain ? "in the clear" : "encrypted"}, and streams arrive whole`,
      { timeout: 60_000 },
      withBench(async (bench) => {
        const pair = await bench.pair(serverOf(server), client, echo);
        for (const session of [pair.client, pair.server]) assert.equal(session.ext.stats().plaintext, isPlain);
        const stream = await pair.client.createBidirectionalStream({ body: BYTES });
        const back: Uint8Array[] = [];
        for await (const chunks of stream) back.push(...chunks);
        assert.ok(Buffer.concat(back).equals(BYTES));
        // what came twice, or after its keys were gone, is no news; what does not open would be
        for (const { endpoint } of [pair.client, pair.server]) assert.equal(endpoint?.ext.drops["forged"] ?? 0, 0);
      }),
    );
  }

  test(
    "there are no keys to update",
    { timeout: 60_000 },
    withBench(async (bench) => {
      const { client } = await bench.pair(serverOf(ASKS), ASKS);
      assert.throws(() => client.updateKey(), { code: "ERR_INVALID_STATE", message: /not encrypted/ });
    }),
  );

  test(
    "another value than a boolean is refused",
    withBench(async (bench) => {
      const options = { ext: { disable1RttEncryption: "yes" } } as unknown as object;
      await assert.rejects(
        bench.serve(() => {}, serverOf(options)),
        { code: "ERR_INVALID_ARG_TYPE" },
      );
    }),
  );
});

/** The parameter 0xbaad, and what an attacker on the path would make of it. */
const ASKED = Buffer.from("8000baad00", "hex");
const STRIPPED = Buffer.from("8000baae00", "hex");

test("RFC 9001 §8.2 a parameter that is taken away or added on the way ends the handshake", () => {
  const provider = chooseTls(process.env);
  const { cert, key } = testLeaf();
  const server = provider.newServerContext({ alpn: ["x"], identities: { "*": { cert, key } } });
  const client = provider.newClientContext({
    alpn: ["x"],
    serverName: "localhost",
    verify: "strict",
    ca: [testCa().cert],
  });
  for (const [sent, arrived] of [
    [ASKED, ASKED],
    [ASKED, STRIPPED],
    [STRIPPED, ASKED],
  ] as const) {
    const sides = [client.newSession({ transportParams: sent }), server.newSession({ transportParams: ASKED })];
    const done = [false, false];
    let alerts = 0;
    let carried = true;
    const carry = (from: number, level: Level, bytes: Uint8Array): void => {
      const changed = Buffer.from(bytes);
      const at = from === 0 ? changed.indexOf(sent) : -1;
      if (at >= 0) changed.set(arrived, at);
      sides[1 - from]?.put(level, changed);
      carried = true;
    };
    for (; carried && alerts === 0; ) {
      carried = false;
      sides.forEach((side, from) => {
        for (let result = side.take(); result !== null; result = side.take()) {
          if (result.kind === "send") carry(from, result.level, result.bytes);
          if (result.kind === "done") done[from] = true;
          if (result.kind === "alert") alerts++;
        }
      });
    }
    const isHonest = sent === arrived;
    assert.deepEqual([done[1], alerts > 0], [isHonest, !isHonest], "the server's word counts: it sends data first");
    for (const side of sides) side.close();
  }
});
