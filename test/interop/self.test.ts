/** Our own program on both sides of the harness: two processes over real UDP and TLS, through the public API alone. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { runCell } from "./cell.js";
import { writeCertificates } from "./certificates.js";
import { OWN } from "./peers.js";

const folder = mkdtempSync(join(tmpdir(), "netquic-self-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const files = writeCertificates(folder);

describe("netquic against itself", () => {
  for (const alpn of [OWN.alpn, "h3"]) {
    for (const interopCase of ["handshake", "transfer", "retry", "keyupdate"] as const) {
      test(`${interopCase} with ALPN ${alpn}`, async () => {
        const cell = await runCell({ ...OWN, alpn }, "server", interopCase, 1_000_000, files);
        assert.equal(cell.result, "pass", cell.detail);
      });
    }
  }

  test("a client that does not trust the server's authority fails, and the cell says why", async () => {
    const stranger = mkdtempSync(join(folder, "stranger-"));
    const cell = await runCell(OWN, "server", "handshake", 1000, { ...files, ca: writeCertificates(stranger).ca });
    assert.equal(cell.result, "fail");
    assert.match(cell.detail, /certificate|unknown_ca/i);
  });
});
