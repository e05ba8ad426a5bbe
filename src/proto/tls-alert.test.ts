import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { localAlertText, remoteAlertText, tlsAlertName } from "./tls-alert.js";

describe("RFC 8446 §6 alerts", () => {
  test("have the RFC's names", () => {
    assert.equal(tlsAlertName(48), "unknown_ca");
    assert.equal(tlsAlertName(120), "no_application_protocol");
    assert.equal(tlsAlertName(200), "alert_200");
  });

  test("say what to do on the side that raised them, and on the other", () => {
    assert.equal(
      localAlertText(48),
      "unknown_ca: the certificate is signed by an unknown authority; pass its CA in {ca}",
    );
    assert.match(remoteAlertText(48), /^unknown_ca: the peer does not know the authority/);
    assert.match(localAlertText(112), /identities/);
    assert.match(remoteAlertText(116), /client certificate/);
  });

  test("unknown numbers still give a sentence", () => {
    assert.equal(localAlertText(200), "alert_200: the handshake failed");
    assert.equal(remoteAlertText(200), "alert_200: the peer ended the handshake");
  });
});
