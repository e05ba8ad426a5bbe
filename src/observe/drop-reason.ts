/** Why a datagram or packet was dropped before authentication: a number that is counted, never an exception. */

export const DROP_NONE = 0;
export const DROP_TRUNCATED = 1; // shorter than its header says
export const DROP_FIXED_BIT = 2; // RFC 9000 §17.2: fixed bit is 0
export const DROP_UNKNOWN_VERSION = 3;
export const DROP_CID_LENGTH = 4; // longer than 20 bytes in version 1
export const DROP_UNKNOWN_CID = 5; // no connection has this destination id
export const DROP_KEYS_UNAVAILABLE = 6; // no keys yet, and the buffer for such packets is full
export const DROP_KEYS_DISCARDED = 7;
export const DROP_FORGED = 8; // the tag does not match
export const DROP_DUPLICATE = 9; // packet number already received, or too old to tell
export const DROP_SMALL_INITIAL = 10; // RFC 9000 §14.1: Initial in a datagram below 1200 bytes
export const DROP_WRONG_DCID = 11; // coalesced packet with another destination id (RFC 9000 §12.2)
export const DROP_UNEXPECTED_TYPE = 12; // Retry at a server, second Retry, version negotiation too late, 0-RTT at a client
export const DROP_RETRY_INTEGRITY = 13;
export const DROP_BAD_TOKEN = 14;
export const DROP_REFUSED = 15; // too many half-open handshakes, or not listening
export const DROP_RATE_LIMITED = 16; // a Retry was due, but too many answers wait for the socket
export const DROP_OTHER_ADDRESS = 17; // from an address that is not the connection's path
export const DROP_ZERO_LENGTH = 18;
export const DROP_REASONS = 19;
/** One of the numbers above. */
export type DropReason = number;

export const DROP_NAMES: readonly string[] = [
  "none",
  "truncated",
  "fixed-bit",
  "unknown-version",
  "cid-length",
  "unknown-cid",
  "keys-unavailable",
  "keys-discarded",
  "forged",
  "duplicate",
  "small-initial",
  "wrong-dcid",
  "unexpected-type",
  "retry-integrity",
  "bad-token",
  "refused",
  "rate-limited",
  "other-address",
  "zero-length",
];
