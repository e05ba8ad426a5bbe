import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { openTicket, sealTicket, type TicketBinding } from "./tls-ticket.js";

describe("a client's ticket", () => {
  const binding: TicketBinding = { library: "openssl", caDigest: new Uint8Array(8).fill(9), host: "a.test" };
  const session = Uint8Array.of(1, 2, 3, 4);
  const sealed = sealTicket(binding, 0, session);

  test("comes back whole under the same binding", () => {
    assert.deepEqual(openTicket(sealed, binding, "strict"), { session, verifyCode: 0 });
    const nameless = { ...binding, host: "" };
    assert.deepEqual(openTicket(sealTicket(nameless, 62, session), nameless, "report"), { session, verifyCode: 62 });
  });

  test("is for one library, one host and one set of anchors", () => {
    for (const other of [
      { ...binding, library: "gnutls" as const },
      { ...binding, host: "b.test" },
      { ...binding, host: "a.tes" },
      { ...binding, host: "" },
      { ...binding, caDigest: new Uint8Array(8) },
    ]) {
      assert.equal(openTicket(sealed, other, "report"), null);
    }
  });

  test("of an unverified session is not for a strict client", () => {
    const unverified = sealTicket(binding, 18, session);
    assert.equal(openTicket(unverified, binding, "strict"), null);
    assert.equal(openTicket(unverified, binding, "report")?.verifyCode, 18);
  });

  test("that is cut or of another format is none", () => {
    for (let length = 0; length < sealed.length - session.length + 1; length++) {
      assert.equal(openTicket(sealed.subarray(0, length), binding, "report"), null);
    }
    const other = sealed.slice();
    other[0] = 2;
    assert.equal(openTicket(other, binding, "report"), null);
  });
});
