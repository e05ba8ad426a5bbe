import assert from "node:assert/strict";
import { test } from "node:test";
import { remoteAlertText } from "../proto/tls-alert.js";
import { closeError } from "./errors.js";

test("a failed handshake says the advice once, and what the peer knows beside it", () => {
  const advice = remoteAlertText(120);
  const said = (reason: string): string =>
    closeError({ type: "transport", remote: true, code: 0x178n, frameType: 6, reason }, "host")?.message ?? "";
  const start = `TLS handshake with host failed, alert 120 ${advice}`;
  assert.equal(said(""), start);
  assert.equal(said(advice), start);
  assert.equal(said(`${advice} (nothing fits)`), `${start} (peer: nothing fits)`);
  assert.equal(said("no common (ALPN)"), `${start} (peer: no common (ALPN))`);
});
