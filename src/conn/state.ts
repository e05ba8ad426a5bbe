/**
 * The life of a connection (RFC 9000 §10):
 *
 *   OPEN ──close()──────────────▶ CLOSING ──3 PTO──▶ CLOSED
 *   OPEN ──CONNECTION_CLOSE─────▶ DRAINING ─3 PTO──▶ CLOSED
 *   OPEN ──idle, reset, abandon────────────────────▶ CLOSED
 *   CLOSING ─CONNECTION_CLOSE───▶ DRAINING
 *
 * OPEN includes the handshake; how far that is, `conn/handshake` knows.
 */
export const STATE_OPEN = 0;
export const STATE_CLOSING = 1;
export const STATE_DRAINING = 2;
export const STATE_CLOSED = 3;
export type ConnectionState = typeof STATE_OPEN | typeof STATE_CLOSING | typeof STATE_DRAINING | typeof STATE_CLOSED;
