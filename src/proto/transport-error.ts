/** Transport error codes (RFC 9000 §20.1), with the TLS alert range of RFC 9001 §4.8. */

export const NO_ERROR = 0x00;
export const INTERNAL_ERROR = 0x01;
export const CONNECTION_REFUSED = 0x02;
export const FLOW_CONTROL_ERROR = 0x03;
export const STREAM_LIMIT_ERROR = 0x04;
export const STREAM_STATE_ERROR = 0x05;
export const FINAL_SIZE_ERROR = 0x06;
export const FRAME_ENCODING_ERROR = 0x07;
export const TRANSPORT_PARAMETER_ERROR = 0x08;
export const CONNECTION_ID_LIMIT_ERROR = 0x09;
export const PROTOCOL_VIOLATION = 0x0a;
export const INVALID_TOKEN = 0x0b;
export const APPLICATION_ERROR = 0x0c;
export const CRYPTO_BUFFER_EXCEEDED = 0x0d;
export const KEY_UPDATE_ERROR = 0x0e;
export const AEAD_LIMIT_REACHED = 0x0f;
export const NO_VIABLE_PATH = 0x10;
/** RFC 9368 §5. */
export const VERSION_NEGOTIATION_ERROR = 0x11;
/** 0x0100 to 0x01ff: CRYPTO_ERROR, the TLS alert in the low byte. */
export const CRYPTO_ERROR = 0x100;

const NAMES = [
  "NO_ERROR",
  "INTERNAL_ERROR",
  "CONNECTION_REFUSED",
  "FLOW_CONTROL_ERROR",
  "STREAM_LIMIT_ERROR",
  "STREAM_STATE_ERROR",
  "FINAL_SIZE_ERROR",
  "FRAME_ENCODING_ERROR",
  "TRANSPORT_PARAMETER_ERROR",
  "CONNECTION_ID_LIMIT_ERROR",
  "PROTOCOL_VIOLATION",
  "INVALID_TOKEN",
  "APPLICATION_ERROR",
  "CRYPTO_BUFFER_EXCEEDED",
  "KEY_UPDATE_ERROR",
  "AEAD_LIMIT_REACHED",
  "NO_VIABLE_PATH",
  "VERSION_NEGOTIATION_ERROR",
];

/** Whether the code is that of a TLS alert. */
export function isCryptoError(code: number): boolean {
  return code >= CRYPTO_ERROR && code < CRYPTO_ERROR + 0x100;
}

/** The RFC's name of a transport error code; `CRYPTO_ERROR(n)` for TLS alerts, `UNKNOWN(n)` else. */
export function transportErrorName(code: number): string {
  if (isCryptoError(code)) return `CRYPTO_ERROR(${code - CRYPTO_ERROR})`;
  return NAMES[code] ?? `UNKNOWN(${code})`;
}
