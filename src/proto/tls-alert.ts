/**
 * TLS alerts (RFC 8446 §6) as people read them: name, and a sentence that says what to do. On the wire of QUIC an alert
 * is the error code 0x100 + its number (RFC 9001 §4.8). A table row says the advice twice, because what helps differs
 * between the side that raised the alert and the side that was told.
 */

/** Alerts that this side raises by itself, without the TLS library. */
export const ALERT_UNEXPECTED_MESSAGE = 10;
export const ALERT_BAD_CERTIFICATE = 42;
export const ALERT_CERTIFICATE_EXPIRED = 45;
export const ALERT_ILLEGAL_PARAMETER = 47;
export const ALERT_INTERNAL_ERROR = 80;
export const ALERT_MISSING_EXTENSION = 109;
export const ALERT_NO_APPLICATION_PROTOCOL = 120;

interface AlertRow {
  name: string;
  /** When this side raised it. */
  local: string;
  /** When the peer raised it. */
  remote: string;
}

const PROTOCOL = "the peer broke the TLS protocol; try another version of its software";
const OUR_PROTOCOL = "the peer says that this side broke the TLS protocol; report it with a key log and a qlog";

const ROWS: Readonly<Record<number, AlertRow>> = {
  0: { name: "close_notify", local: "the handshake was closed", remote: "the peer closed the handshake" },
  10: { name: "unexpected_message", local: PROTOCOL, remote: OUR_PROTOCOL },
  20: { name: "bad_record_mac", local: PROTOCOL, remote: OUR_PROTOCOL },
  22: { name: "record_overflow", local: PROTOCOL, remote: OUR_PROTOCOL },
  40: {
    name: "handshake_failure",
    local: "no common cipher suite, group or signature algorithm; widen {ciphers} or {groups}, or use another key type",
    remote: "the peer shares no cipher suite, group or signature algorithm; widen {ciphers} or {groups}",
  },
  42: {
    name: "bad_certificate",
    local: "the certificate is broken or not valid for this name; connect by a name that it contains",
    remote: "the peer does not accept this side's certificate; its names must contain the one that the peer asked for",
  },
  43: {
    name: "unsupported_certificate",
    local: "the certificate may not be used for this purpose; its extended key usage must allow it",
    remote: "the peer does not accept this kind of certificate; check its extended key usage and key type",
  },
  44: {
    name: "certificate_revoked",
    local: "the certificate was revoked; the peer needs a new one",
    remote: "the peer says that this side's certificate was revoked; get a new one",
  },
  45: {
    name: "certificate_expired",
    local: "the certificate has expired or is not valid yet; renew it, or set this machine's clock",
    remote: "the peer says that this side's certificate has expired; renew it, or set the clock",
  },
  46: {
    name: "certificate_unknown",
    local: "the certificate could not be accepted",
    remote: "the peer did not accept this side's certificate; see the peer's log",
  },
  47: { name: "illegal_parameter", local: PROTOCOL, remote: OUR_PROTOCOL },
  48: {
    name: "unknown_ca",
    local: "the certificate is signed by an unknown authority; pass its CA in {ca}",
    remote: "the peer does not know the authority of this side's certificate; give it the CA, or send the whole chain",
  },
  49: {
    name: "access_denied",
    local: "the certificate is valid but has no access",
    remote: "the peer accepts the certificate but gives it no access",
  },
  50: { name: "decode_error", local: PROTOCOL, remote: OUR_PROTOCOL },
  51: {
    name: "decrypt_error",
    local: "a signature or a Finished message does not verify; the peer's key may not belong to its certificate",
    remote: "the peer could not verify a signature; check that the key belongs to the certificate",
  },
  70: {
    name: "protocol_version",
    local: "the peer does not speak TLS 1.3, which QUIC needs; update it",
    remote: "the peer does not speak TLS 1.3, which QUIC needs; update it",
  },
  71: {
    name: "insufficient_security",
    local: "what the peer offers is too weak; update it",
    remote: "the peer wants stronger ciphers or keys; widen {ciphers} and {groups}",
  },
  80: {
    name: "internal_error",
    local: "the TLS library failed; run again with a key log and report it",
    remote: "the peer failed inside; see its log",
  },
  86: { name: "inappropriate_fallback", local: PROTOCOL, remote: OUR_PROTOCOL },
  90: { name: "user_canceled", local: "the handshake was cancelled", remote: "the peer cancelled the handshake" },
  109: { name: "missing_extension", local: PROTOCOL, remote: OUR_PROTOCOL },
  110: { name: "unsupported_extension", local: PROTOCOL, remote: OUR_PROTOCOL },
  112: {
    name: "unrecognized_name",
    local: "the client asked for a host that no identity serves; add the name or `*` to {identities}",
    remote: "the server does not serve this host name; connect by a name that it knows",
  },
  113: {
    name: "bad_certificate_status_response",
    local: "the certificate's OCSP answer is bad; the peer must renew it",
    remote: "the peer does not accept the OCSP answer",
  },
  115: { name: "unknown_psk_identity", local: PROTOCOL, remote: "the peer does not know this session; connect anew" },
  116: {
    name: "certificate_required",
    local: "the client sent no certificate, but this server requires one",
    remote: "the server requires a client certificate; pass one in {cert} and {key}",
  },
  120: {
    name: "no_application_protocol",
    local: "client and server share no ALPN protocol; compare their {alpn} lists",
    remote: "client and server share no ALPN protocol; compare their {alpn} lists",
  },
};

/** `unknown_ca`; `alert_200` for a number without a name. */
export function tlsAlertName(alert: number): string {
  return ROWS[alert]?.name ?? `alert_${alert}`;
}

/** Name and advice for an alert that this side raised. */
export function localAlertText(alert: number): string {
  const row = ROWS[alert];
  return row === undefined ? `${tlsAlertName(alert)}: the handshake failed` : `${row.name}: ${row.local}`;
}

/** Name and advice for an alert that the peer sent. */
export function remoteAlertText(alert: number): string {
  const row = ROWS[alert];
  return row === undefined ? `${tlsAlertName(alert)}: the peer ended the handshake` : `${row.name}: ${row.remote}`;
}
