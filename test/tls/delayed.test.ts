/** The contract of port/tls holds when every answer comes late. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { tlsContract } from "#src/runtime/native/tls.contract.js";
import { Pair } from "#src/runtime/native/tls-pair.contract.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { Prng } from "#src/sim/prng.js";
import { delayedTls } from "../support/delayed-tls.js";

const SEED = Number(process.env.SIM_SEED ?? 1);
const prng = new Prng(SEED, "delayed-tls");
const delayed = delayedTls(chooseTls(process.env), () => prng.float());

// The leak check is about native memory, and the wrapper has none.
tlsContract(
  `${delayed.name} (SIM_SEED=${SEED})`,
  () => delayed,
  () => delayed,
  0,
);

test("the delayed provider answers nothing inside put", async () => {
  const identity = devCertificate({ hosts: ["localhost"] });
  const shared = { alpn: ["h3"] };
  const slow = delayedTls(chooseTls(process.env), () => 0.99);
  const pair = new Pair(
    slow
      .newClientContext({ ...shared, ca: [identity.cert], serverName: "localhost", verify: "strict" })
      .newSession({ transportParams: new Uint8Array(4) }),
    slow
      .newServerContext({ ...shared, identities: { "*": identity } })
      .newSession({ transportParams: new Uint8Array(4) }),
  );
  assert.equal(pair.client.session.take(), null);
  await pair.handshake(1);
  assert.ok(pair.client.wakes > 3 && pair.server.wakes > 3);
  pair.close();
});
