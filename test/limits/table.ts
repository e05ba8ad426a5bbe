/**
 * Which tests notice that a limit is gone. `npm run limits` switches off one after the other and demands a red test of the files
 * that stand here. A number of proto/limits is in exactly one of LIMITS and TUNING; a limit that has its place elsewhere,
 * because nothing else needs it, is named with its file.
 */

import { LIMITS_FILE } from "./hooks.js";

export interface Limit {
  /** Compiled file below dist. */
  file: string;
  name: string;
  /** What stands in its place: an expression, in which `$` is the number itself. */
  without: string;
  /** Test files, the cheapest first. */
  tests: readonly string[];
}

const HUGE = "1000 * ($)";
const TINY = "($) / 1000";
const ATTACK = "test/attack";

/** Limits of proto/limits that the same tests notice; a list in place of a name has what stands in its place, too. */
function group(tests: string, ...names: (string | readonly [name: string, without: string])[]): Limit[] {
  return names.map((entry) => {
    const [name, without] = typeof entry === "string" ? [entry, HUGE] : entry;
    return { file: LIMITS_FILE, name, without, tests: tests.split(" ") };
  });
}

function elsewhere(file: string, name: string, without: string, tests: string): Limit {
  return { file, name, without, tests: tests.split(" ") };
}

export const LIMITS: readonly Limit[] = [
  ...group("src/socket/psk-file.test.ts", "MAX_PSK_FILE_KEYS"),
  ...group("test/socket/memory.test.ts", "MAX_SOCKET_EVENTS", "MAX_SOCKET_HANDSHAKE_BYTES"),
  // a port shared by programs
  ...group("test/broker/limits.test.ts", "MAX_BROKER_BINDS", "MAX_BROKER_LISTENS", "MAX_BROKER_CONNECTIONS"),
  ...group("test/broker/limits.test.ts", "MAX_BROKER_PROGRAMS_PER_OTHER_USER", "MAX_BROKER_QUEUED_BYTES"),
  ...group(
    "test/broker/limits.test.ts",
    "MAX_BROKER_TURNED_AWAY",
    "MAX_BROKER_MEMBERS",
    "MAX_BROKER_NAMES_PER_OTHER_USER",
  ),
  ...group("test/broker/limits.test.ts", "BROKER_HELLO_MILLIS", "BROKER_RESUME_MILLIS", "BROKER_RECONNECT_MILLIS"),
  ...group("test/broker/attacks.test.ts", "MAX_BROKER_DATAGRAMS_QUEUED_BYTES"),
  ...group("src/runtime/native/unix-socket.test.ts", "MAX_UNIX_QUEUED_FDS"),
  ...group("test/broker/descriptors.test.ts", "UNIX_ACCEPT_REST_MILLIS"),
  ...group("src/broker/messages.test.ts", "MAX_BROKER_NAMES", "MAX_BROKER_NAME_BYTES"),
  ...group("src/broker/datagrams.test.ts", "MAX_BROKER_MESSAGE_BYTES"),
  ...group("src/broker/handed.test.ts", "MAX_BROKER_HANDED", "BROKER_HANDED_MICROS"),
  // datagrams and paths
  ...group(`${ATTACK}/packets.test.ts`, ["MIN_INITIAL_DATAGRAM_BYTES", "1"]),
  ...group("test/transport/handshake.test.ts", "DEFAULT_DATAGRAM_BYTES", "REST_AFTER_MICROS"),
  ...group("src/path/mtu-discovery.test.ts", ...["MTU_PROBE_TRIES", "MTU_RAISE_MICROS", "MTU_SEARCH_STEP_BYTES"]),
  ...group("test/conn/path-mtu.test.ts", "MTU_PROBE_AFTER_BYTES"),
  ...group("src/outqueue/black-hole.test.ts", "MTU_BLACK_HOLE_ROUNDS"),
  ...group("src/conn/config.test.ts", "MAX_SEND_DATAGRAM_BYTES", "MAX_STREAM_LIMIT", "MAX_DATAGRAM_FRAME_BYTES"),
  ...group("src/conn/config.test.ts", "DATAGRAM_FRAME_BYTES", "MAX_ACK_DELAY_MILLIS", "ACK_DELAY_EXPONENT"),
  ...group("src/frame/decode.test.ts", "MAX_CID_BYTES", ["MAX_ACK_RANGES", "1024 * ($)"]),
  ...group(`${ATTACK}/endpoint.test.ts`, ["INITIAL_DCID_BYTES", "1"]),
  ...group("test/transport/connection-ids.test.ts", "LOCAL_CID_BYTES", ["MIN_LOCAL_CID_BYTES", "1"]),
  ...group("src/path/path.test.ts", "AMPLIFICATION_FACTOR"),
  ...group("src/path/validation.test.ts", "MAX_PATH_RESPONSES", "MAX_PATH_CHALLENGES"),
  ...group("src/path/ecn-check.test.ts", "ECN_TESTING_DATAGRAMS"),
  ...group("src/connid/peer.test.ts", "ACTIVE_CID_LIMIT", "MAX_RETIRE_PENDING"),
  ...group("src/connid/local.test.ts", "ACTIVE_CIDS", "RETIRED_CIDS", "CID_ISSUE_BURST", "CID_ISSUE_PER_SECOND"),
  // packet number spaces, recovery
  ...group("src/pnspace/pnspace.test.ts", "MAX_ACK_RANGES_SENT", "ACK_ELICITING_THRESHOLD"),
  ...group("src/pnspace/pnspace.test.ts", "SKIP_PN_FIRST_PERIOD", "SKIP_PN_LEAST_PERIOD", "SKIP_PN_MAX_PERIOD"),
  ...group("src/outqueue/sent.test.ts", "MAX_SENT_PACKETS", "MAX_SENT_RECORDS"),
  ...group("src/outqueue/sent-columns.test.ts", "POOLED_SENT_COLUMNS"),
  ...group("src/conn/undecryptable.test.ts", "MAX_UNDECRYPTABLE_PACKETS", "MAX_UNDECRYPTABLE_BYTES"),
  ...group("src/cong/rtt.test.ts", "GRANULARITY_MICROS", "INITIAL_RTT_MICROS", "PERSISTENT_CONGESTION_THRESHOLD"),
  ...group("src/cong/rtt.test.ts", ["TIME_THRESHOLD_NUM", TINY], "TIME_THRESHOLD_DEN"),
  ...group("src/cong/pacer.test.ts", "INITIAL_WINDOW_PACKETS", "PACING_BURST_PACKETS"),
  ...group("src/cong/controller.test.ts", "MINIMUM_WINDOW_PACKETS", "MAX_CWND_BYTES"),
  ...group("src/outqueue/recovery.test.ts", "MAX_PTO_MICROS", "LOST_KEPT_PTOS", "RETRY_RTT_MIN_MICROS"),
  ...group("src/outqueue/recovery.test.ts", "PACKET_THRESHOLD"),
  // handshake, tokens, tickets, keys
  ...group(
    "src/inqueue/crypto.test.ts",
    ...["MAX_CRYPTO_INITIAL_BYTES", "MAX_CRYPTO_HANDSHAKE_BYTES", "MAX_CRYPTO_APP_BYTES", "MAX_CRYPTO_PIECES"],
  ),
  ...group(`${ATTACK}/handshake.test.ts`, "MAX_CRYPTO_OUT_BYTES"),
  ...group("src/crypto/tls-framer.test.ts", "MAX_TLS_MESSAGE_BYTES"),
  ...group("src/crypto/hello.test.ts", "MAX_ALPN_READ"),
  ...group("src/crypto/early-tickets.test.ts", "MAX_EARLY_TICKETS", "EARLY_TICKET_SECONDS"),
  ...group(
    "src/endpoint/early-held.test.ts",
    ...["MAX_EARLY_HELD_PACKETS", "MAX_EARLY_HELD_BYTES", "MAX_EARLY_HELD_PER_CONNECTION", "EARLY_HELD_MICROS"],
  ),
  ...group(`${ATTACK}/defaults.test.ts`, "HANDSHAKE_TIMEOUT_MICROS", "IDLE_TIMEOUT_MILLIS", "CLOSE_PTOS"),
  ...group("src/crypto/token.test.ts", "RETRY_TOKEN_SECONDS", "NEW_TOKEN_SECONDS", ["TOKEN_KEY_SECONDS", "1e12"]),
  ...group("src/crypto/token.test.ts", "MAX_USED_TOKENS", "MAX_TOKEN_BYTES"),
  ...group("src/api/net/options.test.ts", "NET_KEEP_ALIVE_MILLIS"),
  ...group("test/net/many.test.ts", ["NET_STREAMS", "1"]),
  ...group("src/runtime/native/ticket-keys.test.ts", "MAX_TICKET_USES", ["TICKET_KEY_SECONDS", "1e12"]),
  ...group(`${ATTACK}/packets.test.ts`, "MAX_PEER_TOKEN_BYTES"),
  ...group("src/crypto/keys.test.ts", "KEY_UPDATE_PACKETS", "CONFIDENTIALITY_LIMIT_GCM", "CONFIDENTIALITY_LIMIT_CCM"),
  ...group("src/crypto/keys.test.ts", "INTEGRITY_LIMIT_GCM", "INTEGRITY_LIMIT_CHACHA", "INTEGRITY_LIMIT_CCM"),
  // streams, datagrams of the application
  ...group(
    `${ATTACK}/defaults.test.ts`,
    ...["STREAM_WINDOW_BYTES", "STREAM_WINDOW_MAX_BYTES", "CONN_WINDOW_BYTES", "CONN_WINDOW_MAX_BYTES"],
    ...["MAX_STREAMS_BIDI", "MAX_STREAMS_UNI", "STREAM_SEND_BUFFER_BYTES"],
  ),
  ...group("src/inqueue/streams.test.ts", "MIN_RECV_GAPS", ["RECV_GAP_WINDOW_SHARE", TINY], "MIN_CONN_RECV_GAPS"),
  ...group("src/stream/ring.test.ts", "RING_POOL_BYTES", "RING_POOL_MAX_BYTES"),
  ...group("src/stream/held.test.ts", "MIN_RING_BYTES", "RING_STEP_BYTES"),
  ...group(`${ATTACK}/defaults.test.ts`, ["STREAM_CREDIT_MIN_SHARE", TINY]),
  ...group("src/stream/table.test.ts", ["CONN_WINDOW_PER_STREAM_WINDOW", TINY]),
  ...group("src/stream/limits.test.ts", ["STREAMS_CREDIT_SHARE", TINY]),
  ...group("src/outqueue/streams.test.ts", ["TURN_FLIGHT_SHARE", TINY], "MAX_TURN_FRAMES", "MIN_STREAM_PIECE_BYTES"),
  ...group("src/inqueue/events.test.ts", "MAX_HELD_TICKETS", "MAX_HELD_KEYLOG_LINES"),
  ...group("src/outqueue/datagrams.test.ts", "DATAGRAMS_OUT", "MAX_DATAGRAM_OUT_BYTES", "MAX_DATAGRAM_FATES"),
  ...group("test/api/options.test.ts", "MAX_DATAGRAMS_OUT"),
  ...group("test/conn/datagrams.test.ts", "MAX_DATAGRAMS_IN", "MAX_DATAGRAM_IN_BYTES"),
  ...group(
    "src/conn/stats.test.ts",
    ...["USELESS_FRAMES_BURST", "USELESS_FRAMES_PER_SECOND", "USELESS_FRAME_STREAM_BYTES"],
  ),
  // paths, the peer's wishes for acknowledgements
  ...group("test/conn/paths.test.ts", "MAX_HELD_PATH_RESULTS", "MAX_PROBED_PATHS", "PATH_VALIDATION_PTOS"),
  ...group("test/conn/paths.test.ts", "PATH_MOVES_BURST", ["PATH_MOVE_MICROS", TINY]),
  ...group("test/attack/ack-frequency.test.ts", ["MIN_ACK_DELAY_MICROS", TINY], "ACK_DELAY_LIMIT_MICROS"),
  ...group("src/outqueue/ack-frequency.test.ts", "ACK_FREQUENCY_MIN_PACKETS", "ACK_FREQUENCY_MAX_PACKETS"),
  ...group("src/outqueue/ack-frequency.test.ts", ["ACK_FREQUENCY_WINDOW_SHARE", TINY]),
  ...group("src/conn/config.test.ts", "MAX_ACK_THRESHOLD_PACKETS", "MAX_CLOSE_PTOS"),
  // endpoint, datapath
  ...group(`${ATTACK}/attempts.test.ts`, "MAX_ATTEMPT_DATAGRAMS", "MAX_ATTEMPT_BYTES", "MAX_ATTEMPTS_BYTES"),
  ...group(`${ATTACK}/attempts.test.ts`, "ATTEMPT_MICROS"),
  ...group(`${ATTACK}/endpoint.test.ts`, "RETRY_ABOVE_HALF_OPEN", "MAX_HALF_OPEN", "MAX_ACCEPT_QUEUE"),
  ...group("src/endpoint/answers.test.ts", "STATELESS_PER_SECOND", "STATELESS_BURST", "MAX_STATELESS_QUEUED"),
  ...group("src/runtime/native/udp.test.ts", "SOCKET_BUFFER_BYTES"),
  ...group(
    "src/runtime/portable/udp.test.ts",
    ["PORTABLE_QUEUE_DATAGRAMS", "4 * ($)"],
    ["PORTABLE_QUEUE_BYTES", "4 * ($)"],
  ),
  ...group(
    "test/agent/limits.test.ts",
    ...[
      "MAX_AGENT_FRAME_BYTES",
      "AGENT_BUSY_BYTES",
      "MAX_AGENT_QUEUE_BYTES",
      "MAX_AGENT_PROGRAMS",
      "MAX_AGENT_CONTEXTS",
    ],
    ...["MAX_AGENT_CONTEXT_BYTES", "MAX_AGENT_SESSIONS", "MAX_AGENT_SESSION_BYTES", "AGENT_SESSION_REST_MILLIS"],
  ),
  ...group("src/agent/config-file.test.ts", "AGENT_HANDSHAKE_MILLIS"),
  ...group("src/runtime/loop.test.ts", "RX_BATCHES_PER_TURN", "TX_BATCHES_PER_TURN"),
  // control sockets
  ...group("test/api/control.test.ts", "MAX_CONTROL_CONNECTIONS", "MAX_CONTROL_REQUESTS", "MAX_CONTROL_REQUEST_BYTES"),
  ...group("test/api/control.test.ts", "CONTROL_PAGE_SOCKETS", "MAX_SURVEY_SOCKETS"),
  // elsewhere
  elsewhere("conn/version-negotiation.js", "SHOWN_VERSIONS", HUGE, `${ATTACK}/packets.test.ts`),
  elsewhere("packet/stateless-reset.js", "MIN_STATELESS_RESET_BYTES", "1", "src/packet/stateless-reset.test.ts"),
  elsewhere("packet/stateless-reset.js", "SHRINK_BYTES", "1", "src/packet/stateless-reset.test.ts"),
  elsewhere("crypto/key-update.js", "KEEP_OLD_PTOS", HUGE, "src/crypto/key-update.test.ts"),
  elsewhere("conn/early.js", "KEEP_KEYS_PTOS", HUGE, "test/transport/early.test.ts"),
  elsewhere("conn/idle.js", "MIN_IDLE_PTOS", HUGE, "test/transport/handshake.test.ts test/attack/lifecycle.test.ts"),
  elsewhere("api/quic/endpoint-options.js", "MAX_CONNECTIONS", HUGE, "test/api/options.test.ts"),
  ...["MAX_FLOWS", "MAX_TUNNEL_STREAMS", "MAX_WAITING_CONNECTIONS", "MOST_SESSION_SEND_BYTES"].map((name) =>
    elsewhere("api/tunnel/limits.js", name, HUGE, "src/api/tunnel/limits.test.ts"),
  ),
];

/**
 * Numbers of proto/limits that no peer can press against: shapes of our own memory, shares of our own rate, what the RFCs
 * fix, and what tests alone read. The benchmarks and the simulation's floors hold them.
 */
export const TUNING: readonly string[] = [
  ...["TX_BATCH_DATAGRAMS", "TX_BATCH_BYTES", "RX_BATCH_SLOTS", "RX_SLOT_BYTES", "RX_BATCH_DATAGRAMS"],
  ...["FILE_FETCH_BYTES", "FILE_PROBE_BYTES", "PACING_GAIN_SLOW_START", "PACING_GAIN", "DEFAULT_URGENCY", "URGENCIES"],
  ...[
    "NET_STREAM_WINDOW_BYTES",
    "NET_CONN_WINDOW_BYTES",
    "CONTROL_PATIENCE_MILLIS",
    "CONTROL_ANSWER_MILLIS",
    "MAX_CONTROL_FRAME_BYTES",
    "MAX_CONTROL_QUEUED_BYTES",
    "LEDGER_WINDOW_SHARE",
    "LEDGER_FIXED_BYTES",
    "MAX_UDP_PAYLOAD_BYTES",
    "ACK_FREQUENCY_RTT_SHARE",
    "ACK_RANGE_REPEATS",
  ],
];
