import assert from "node:assert/strict";
import { test } from "node:test";
import { isSupportedVersion, reservedVersion } from "./version.js";

test("RFC 9000 §15 reserved versions are 0x?a?a?a?a, positive, and not spoken", () => {
  for (const random of [0, -1, 0x7fffffff, -0x80000000, 0x12345678]) {
    const version = reservedVersion(random);
    assert.equal(version % 2 ** 32, version);
    assert.match(version.toString(16).padStart(8, "0"), /^(.a){4}$/);
    assert.equal(isSupportedVersion(version), false);
  }
  assert.notEqual(reservedVersion(0), reservedVersion(0x10000000));
});
