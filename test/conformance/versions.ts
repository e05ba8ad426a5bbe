/** Rows about more versions than one: version negotiation (RFC 9368) and what is bound to a version (RFC 9369 §5). */

import assert from "node:assert/strict";
import { bytes } from "../support/raw-frames.js";
import { version32, versionNegotiation } from "../raw/headers.js";
import { P_VERSION_INFORMATION } from "../raw/params.js";
import type { RawPeerOptions } from "../raw/peer.js";
import { V1, V2 } from "../raw/protection.js";
import { ENCRYPTED_EXTENSIONS } from "../raw/tls-messages.js";
import { accepted, EARLY_SETUP, finish, resuming, ticketOf } from "./early.js";
import { bytesFor, LARGE_CHAIN, newToken } from "./rfc9000-paths.js";
import { row } from "./scripts.js";

/** Begins with version 2 and goes on with version 1 where it must; it wants version 2 more. */
const V2_FIRST = { setup: { config: { versions: [V2, V1], firstVersion: V2 } } };

/** A server that answers first flights by these lists, and a later one by its handshake. */
function negotiating(lists: readonly number[][], info: readonly number[] | null): RawPeerOptions {
  let answered = 0;
  return {
    onFirst: (self) => {
      const offered = lists[answered++];
      if (offered !== undefined) self.sendRaw(versionNegotiation(self.dcid, self.origDcid, offered));
      return answered <= 1;
    },
    params: (list) => (info === null ? list : [...list, [P_VERSION_INFORMATION, bytes(...info.map(version32))]]),
  };
}

row(
  "9368-4-02",
  async (check) => {
    const peer = await check.connect(negotiating([[V1], [V2]], [V1, V1]));
    assert.equal(peer.version, V1);
    await check.usable(peer);
  },
  V2_FIRST,
);

row("9368-4-08", async (check) => {
  const peer = await check.begin(negotiating([[V2]], null));
  await check.closes(peer);
  assert.equal(peer.version, V2);
});

row(
  "9368-4-09",
  async (check) => {
    const peer = await check.begin(negotiating([[V1]], [V1, V2, V1]));
    await check.closes(peer);
  },
  V2_FIRST,
);

row("9368-4-10", async (check) => {
  const peer = await check.begin(negotiating([[V2]], [V2]));
  await check.closes(peer);
});

row(
  "9369-5-01",
  async (check) => {
    const { ticket } = await ticketOf(check);
    const peer = await resuming(check, ticket, { version: V2 });
    await check.until(() => peer.tlsClient?.seen.includes(ENCRYPTED_EXTENSIONS) === true, "EncryptedExtensions");
    assert.deepEqual([peer.tlsClient?.resumed, peer.tlsClient?.earlyAccepted], [false, false]);
    await finish(check, peer);
    const same = await accepted(check);
    assert.equal(same.peer.tlsClient?.resumed, true, "in its own version it resumes");
  },
  { setup: EARLY_SETUP },
);

row(
  "9369-5-02",
  async (check) => {
    const token = await newToken(check);
    const other = await bytesFor(check, token, false, V2);
    assert.ok(other.got > 0 && other.got <= 3 * other.sent, `${other.got} bytes for ${other.sent}`);
    const own = await bytesFor(check, token, false, V1);
    assert.ok(own.got > 3 * own.sent, "in its own version it validates");
  },
  LARGE_CHAIN,
);
