/** Numbers of the stream rooms, soon part of `limits`. */

const KIB = 1024;
const MIB = 1024 * 1024;

/** The same over all streams of a connection, at 16 bytes each: max(8000, connection window / 2048). */
export const MIN_CONN_RECV_GAPS = 8000;
/** First size of a stream's send or receive ring, and the step in which receive rings grow under pressure, bytes. */
export const MIN_RING_BYTES = 4 * KIB;
export const RING_STEP_BYTES = KIB;
/** Free rings that the process keeps for reuse, and the largest of them, bytes. */
export const RING_POOL_BYTES = 16 * MIB;
export const RING_POOL_MAX_BYTES = 2 * MIB;
/** A MAX_STREAM_DATA raises the limit by this share of the window at least, against dribbled credit. */
export const STREAM_CREDIT_MIN_SHARE = 1 / 16;
/** The connection window is kept at this many times the largest stream window [quic-go 1.5]. */
export const CONN_WINDOW_PER_STREAM_WINDOW = 1.5;
/** MAX_STREAMS is sent when it gives back this share of the streams, or fewer than twice this share are left. */
export const STREAMS_CREDIT_SHARE = 1 / 8;
/** RFC 9218 §4.1. */
export const DEFAULT_URGENCY = 3;
export const URGENCIES = 8;
/** Session tickets and NEW_TOKEN tokens, and key log lines, that wait for the application; more are forgotten. */
export const MAX_HELD_TICKETS = 8;
export const MAX_HELD_KEYLOG_LINES = 64;
/** A STREAM frame with less data than this is not begun at the end of a packet while more waits, bytes. */
export const MIN_STREAM_PIECE_BYTES = 16;
