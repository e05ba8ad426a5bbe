/**
 * Every tunable number of the engine, with its unit, its reason and, where a peer can fill something, its bound. Each has a
 * place in test/limits/table.ts: `npm run limits` switches one off after the other and demands a red test.
 * Others' values are in brackets. A limit has a test that reaches it beside the room that enforces it.
 */

const KIB = 1024;
const MIB = 1024 * 1024;

/** Keys in a file of pre-shared keys [libquic 5]: a handshake compares with each. */
export const MAX_PSK_FILE_KEYS = 5;

// --- datagrams -----------------------------------------------------------------------------------------------------
/** RFC 9000 §14: every path carries this; Initial datagrams are padded to it. */
export const MIN_INITIAL_DATAGRAM_BYTES = 1200;
/** Largest datagram that is sent by default, once the path was found to carry it: Ethernet minus IPv6 and UDP headers. */
export const DEFAULT_DATAGRAM_BYTES = 1452;
/** Path MTU discovery (RFC 8899 §5.1): lost probes after which a size has failed, and when a search begins anew. */
export const MTU_PROBE_TRIES = 3;
export const MTU_RAISE_MICROS = 600_000_000;
/** A search ends when less than this is left to gain, bytes: one in a hundred. */
export const MTU_SEARCH_STEP_BYTES = 16;
/** A connection that sends less stream data than this, bytes, and no DATAGRAM frames has no use for larger ones. */
export const MTU_PROBE_AFTER_BYTES = 12_000;
/** Flights in a row whose large packets were lost while small ones arrived [quinn 3]: the path has a black hole. */
export const MTU_BLACK_HOLE_ROUNDS = 3;
/** Largest UDP payload that we send: the frames of one packet, three bytes each at least, fit the reserve of records. */
export const MAX_SEND_DATAGRAM_BYTES = 12_288;
/** Largest UDP payload that we accept; announced as max_udp_payload_size. */
export const MAX_UDP_PAYLOAD_BYTES = 65527;
/** Connection ids we issue, bytes, unless an endpoint is told another length (RFC 9000 §5.1 allows 0..20). */
export const LOCAL_CID_BYTES = 8;
/** The shortest that it may be told: fewer bytes could be guessed, and would soon be used up. */
export const MIN_LOCAL_CID_BYTES = 4;
export const MAX_CID_BYTES = 20;
/** A client's first destination connection id, bytes (RFC 9000 §7.2: at least 8). */
export const INITIAL_DCID_BYTES = 8;
/** RFC 9000 §8.1. */
export const AMPLIFICATION_FACTOR = 3;

// --- one packet number space -----------------------------------------------------------------------------------------
/** ACK ranges kept [neqo 128, quiche 68]; beyond it the oldest are forgotten. */
export const MAX_ACK_RANGES = 128;
/** ACK frames that a range is in (RFC 9000 §13.2.4): all of them lost in a row, and the peer takes it for lost, too. */
export const ACK_RANGE_REPEATS = 16;
/** ACK ranges sent in one frame. */
export const MAX_ACK_RANGES_SENT = 64;
/** Sent packets remembered per connection and space [quic-go 25,000]; beyond it sending waits for acknowledgements. */
export const MAX_SENT_PACKETS = 32_768;
/** Frames remembered with them: four per packet is far above what full packets carry. */
export const MAX_SENT_RECORDS = 4 * MAX_SENT_PACKETS;
/** Smallest rings of sent packets, 3 KiB each, that the process keeps for the next connection. */
export const POOLED_SENT_COLUMNS = 256;
/** A connection on which nothing moved for so long gives back what it does not need to wait. */
export const REST_AFTER_MICROS = 1_000_000;
/** Packets kept whose keys are not there yet [quic-go 32]. */
export const MAX_UNDECRYPTABLE_PACKETS = 16;
export const MAX_UNDECRYPTABLE_BYTES = 24 * KIB;
/**
 * Mean distance between deliberately skipped packet numbers (optimistic-ACK defence, RFC 9000 §21.4): it doubles from the first to
 * the last, and is never above two congestion windows or the least, whichever is more.
 */
export const SKIP_PN_FIRST_PERIOD = 256;
export const SKIP_PN_LEAST_PERIOD = 256;
export const SKIP_PN_MAX_PERIOD = 131_072;

// --- connection ids, paths -------------------------------------------------------------------------------------------
/** active_connection_id_limit that we announce at most. */
export const ACTIVE_CID_LIMIT = 8;
/** What we announce by default, and issue at most: three spare ones are two moves ahead [quic-go 4, msquic 4]. */
export const ACTIVE_CIDS = 4;
/** RETIRE_CONNECTION_ID frames waiting or in flight; more is CONNECTION_ID_LIMIT_ERROR (CVE-2024-22189). */
export const MAX_RETIRE_PENDING = 3 * ACTIVE_CID_LIMIT;
/** PATH_RESPONSE frames waiting, on each path; the oldest is dropped (CVE-2023-49295). */
export const MAX_PATH_RESPONSES = 4;
/** PATH_CHALLENGE frames sent in one validation, a PTO apart. */
export const MAX_PATH_CHALLENGES = 3;
/** PTOs until the validation of a path is given up (RFC 9000 §8.2.4); a peer not heard for so long there has given it up. */
export const PATH_VALIDATION_PTOS = 3;
/** Addresses that a peer is remembered to have probed from; the one found first is forgotten. */
export const MAX_PROBED_PATHS = 4;
/** A peer is followed to so many addresses at once, and then to one each so many microseconds. */
export const PATH_MOVES_BURST = 8;
export const PATH_MOVE_MICROS = 100_000;
/**
 * Connection ids that the peer retired and that still lead to their connection: late packets with them are no reason for a
 * stateless reset, which ends connections of peers that look for its token even then (seen with ngtcp2 0.12).
 */
export const RETIRED_CIDS = 4;
/** Results of path validation that wait for the application; the oldest is forgotten. */
export const MAX_HELD_PATH_RESULTS = 8;
/** Connection ids that we issue in one burst and, after it, per second: a peer that retires each at once gets no more. */
export const CID_ISSUE_BURST = 64;
export const CID_ISSUE_PER_SECOND = 4;

// --- handshake -------------------------------------------------------------------------------------------------------
/** CRYPTO bytes held ahead of the read offset, by level (RFC 9000 §7.5 asks for 4096 at least). */
export const MAX_CRYPTO_INITIAL_BYTES = 32 * KIB;
export const MAX_CRYPTO_HANDSHAKE_BYTES = 64 * KIB;
export const MAX_CRYPTO_APP_BYTES = 64 * KIB;
/** CRYPTO bytes of our own that wait or are in flight, by space: the largest certificate chain that we send. */
export const MAX_CRYPTO_OUT_BYTES = 128 * KIB;
/** Pieces in one CRYPTO reassembly. */
export const MAX_CRYPTO_PIECES = 256;
/** Largest single TLS handshake message accepted, bytes (certificate chains). */
export const MAX_TLS_MESSAGE_BYTES = 64 * KIB;
/** Protocols of a ClientHello that are looked at, for 0-RTT and to choose a listener. */
export const MAX_ALPN_READ = 64;
/** Tickets remembered as fresh, 8 to 16 bytes each, in two generations of half as many; others get no 0-RTT. */
export const MAX_EARLY_TICKETS = 65_536;
/** A generation of them takes no more after this time, so a ticket is good for 0-RTT between one and two of it. */
export const EARLY_TICKET_SECONDS = 3600;
/** 0-RTT packets of connections whose Initial has not come yet, of one endpoint: in all, of one connection, how long. */
export const MAX_EARLY_HELD_PACKETS = 256;
export const MAX_EARLY_HELD_BYTES = 256 * KIB;
export const MAX_EARLY_HELD_PER_CONNECTION = 10;
export const EARLY_HELD_MICROS = 1_000_000;
/** Default time for a handshake to complete, microseconds. */
export const HANDSHAKE_TIMEOUT_MICROS = 10_000_000;
/** Retry tokens are valid this long, seconds. */
export const RETRY_TOKEN_SECONDS = 10;
/** NEW_TOKEN tokens are valid this long, seconds. */
export const NEW_TOKEN_SECONDS = 24 * 3600;
/** Keys of tickets, and of tokens, change after this time; those of the time before are still taken. */
export const TICKET_KEY_SECONDS = 12 * 3600;
export const TOKEN_KEY_SECONDS = 24 * 3600;
/** Pairs of a server name and a protocol whose ticket keys are kept; about 500 bytes each, beyond it all are made anew. */
export const MAX_TICKET_USES = 256;
/** NEW_TOKEN tokens remembered as used, so that each validates an address once; about 40 bytes each. */
export const MAX_USED_TOKENS = 65_536;
/** Initial datagrams kept until a ClientHello is whole: of one attempt, how long, and of all attempts of an endpoint. */
export const MAX_ATTEMPT_DATAGRAMS = 16;
export const MAX_ATTEMPT_BYTES = 24 * KIB;
export const ATTEMPT_MICROS = 10_000_000;
export const MAX_ATTEMPTS_BYTES = 8 * MIB;
/** Largest token of a server's Retry or NEW_TOKEN that we send back, bytes: a third of an Initial is left for TLS. */
export const MAX_PEER_TOKEN_BYTES = 768;
/** Largest token accepted in an Initial, bytes. */
export const MAX_TOKEN_BYTES = 512;

// --- streams and flow control ------------------------------------------------------------------------------------------
/** Advertised windows, bytes; they grow with use up to the maxima. */
export const STREAM_WINDOW_BYTES = 1 * MIB;
export const STREAM_WINDOW_MAX_BYTES = 6 * MIB;
export const CONN_WINDOW_BYTES = 2 * MIB;
export const CONN_WINDOW_MAX_BYTES = 15 * MIB;
/** Streams that the peer may have open at once. */
export const MAX_STREAMS_BIDI = 100;
export const MAX_STREAMS_UNI = 100;
/** netquic/net: sockets that the peer may have open at once on one connection. */
export const NET_STREAMS = 1024;
/** And the receive windows at its start: so many sockets as the one goes into the other may be unread, and hold up no other. */
export const NET_STREAM_WINDOW_BYTES = 256 * 1024;
export const NET_CONN_WINDOW_BYTES = 8 * MIB;
/** Largest number of streams that we allow when asked: a larger id, which reads as 2^53-1, is beyond it (RFC 9000 §4.6). */
export const MAX_STREAM_LIMIT = 2 ** 51 - 1;
/** Send buffer of one stream, bytes: what `write` takes before it says 0. */
export const STREAM_SEND_BUFFER_BYTES = 2 * MIB;
/** Gaps in one stream's reassembly: max(1000, window / 2048) [quic-go 1000, quinn 1024]. */
export const MIN_RECV_GAPS = 1000;
export const RECV_GAP_WINDOW_SHARE = 2048;
/** The same over all streams of a connection, at 16 bytes each: max(8000, connection window / 2048). */
export const MIN_CONN_RECV_GAPS = 8000;
/** First size of a stream's send or receive ring, and the step in which receive rings grow under pressure, bytes. */
export const MIN_RING_BYTES = 4 * KIB;
export const RING_STEP_BYTES = KIB;
/** Free rings that the process keeps for reuse, and the largest of them, bytes. */
export const RING_POOL_BYTES = 16 * MIB;
export const RING_POOL_MAX_BYTES = 2 * MIB;
/** One read of a file that has to wait for its disk; it is in memory of its own until the send buffer has it, bytes. */
export const FILE_FETCH_BYTES = 256 * KIB;
/** Room for one read of a file of which nobody knows how much is left (a pipe, or one that grows), bytes. */
export const FILE_PROBE_BYTES = 16 * KIB;
/** A MAX_STREAM_DATA raises the limit by this share of the window at least, against dribbled credit. */
export const STREAM_CREDIT_MIN_SHARE = 1 / 16;
/** The connection window is kept at this many times the largest stream window [quic-go 1.5]. */
export const CONN_WINDOW_PER_STREAM_WINDOW = 1.5;
/** MAX_STREAMS is sent when it gives back this share of the streams, or fewer than twice this share are left. */
export const STREAMS_CREDIT_SHARE = 1 / 8;
/** RFC 9218 §4.1. */
export const DEFAULT_URGENCY = 3;
export const URGENCIES = 8;
/** Frames that a stream sends before the next of its urgency has its turn: this share of a flight, and a number at most. */
export const TURN_FLIGHT_SHARE = 1 / 64;
export const MAX_TURN_FRAMES = 16;
/** Session tickets and NEW_TOKEN tokens, and key log lines, that wait for the application; more are forgotten. */
export const MAX_HELD_TICKETS = 8;
export const MAX_HELD_KEYLOG_LINES = 64;
/** max_datagram_frame_size that we announce by default, and at most (RFC 9221 §3), bytes. */
export const DATAGRAM_FRAME_BYTES = 1200;
export const MAX_DATAGRAM_FRAME_BYTES = 65_535;
/** Datagrams that wait to be sent: so many, of so many bytes in all. */
export const MAX_DATAGRAMS_OUT = 1024;
export const DATAGRAMS_OUT = 128;
export const MAX_DATAGRAM_OUT_BYTES = 1 * MIB;
/** Datagrams that wait for the application; the oldest are dropped. */
export const MAX_DATAGRAMS_IN = 1024;
export const MAX_DATAGRAM_IN_BYTES = 1 * MIB;
/** Datagrams told to be lost, of which a late acknowledgement is no news. */
export const MAX_DATAGRAM_FATES = 256;
/** A STREAM frame with less data than this is not begun at the end of a packet while more waits, bytes. */
export const MIN_STREAM_PIECE_BYTES = 16;
/** What the bounds above come to for one connection, as tests hold it: this share of the connection window, plus a part. */
export const LEDGER_WINDOW_SHARE = 1.5;
export const LEDGER_FIXED_BYTES = 256 * KIB;

// --- recovery (RFC 9002) -----------------------------------------------------------------------------------------------
export const PACKET_THRESHOLD = 3;
/** kTimeThreshold 9/8 as numerator and denominator. */
export const TIME_THRESHOLD_NUM = 9;
export const TIME_THRESHOLD_DEN = 8;
export const GRANULARITY_MICROS = 1000;
export const INITIAL_RTT_MICROS = 333_000;
export const PERSISTENT_CONGESTION_THRESHOLD = 3;
/** RFC 9002 §7.2. */
export const INITIAL_WINDOW_PACKETS = 10;
export const MINIMUM_WINDOW_PACKETS = 2;
/** Cap of one PTO period, microseconds; backoff stops doubling there. */
export const MAX_PTO_MICROS = 60_000_000;
/** Pacing gain over cwnd / RTT (RFC 9002 §7.7) in slow start and after. */
export const PACING_GAIN_SLOW_START = 2;
export const PACING_GAIN = 1.25;
/** Packets of one pacing burst: a GSO train. */
export const PACING_BURST_PACKETS = 44;
/** Datagrams marked ECT(0) before the peer has confirmed that marks arrive (RFC 9000 A.4). */
export const ECN_TESTING_DATAGRAMS = 10;
/** Lost packets are remembered this many PTOs after they were sent, to notice that they were late and not lost. */
export const LOST_KEPT_PTOS = 4;
/** Least RTT taken from a Retry (RFC 9002 §6.3): the server did no handshake work for it. */
export const RETRY_RTT_MIN_MICROS = 25_000;
/** Congestion window never grows past this, bytes. */
export const MAX_CWND_BYTES = 64 * MIB;

// --- acknowledgements (RFC 9000 §13.2) -----------------------------------------------------------------------------------
export const MAX_ACK_DELAY_MILLIS = 25;
export const ACK_DELAY_EXPONENT = 3;
/** Ack-eliciting packets before an ACK is due at once (RFC 9000 §13.2.2). */
export const ACK_ELICITING_THRESHOLD = 2;
/** What an application may raise it to. */
export const MAX_ACK_THRESHOLD_PACKETS = 255;
/** Shortest delay that a peer may ask us for: what every timer here can do (draft-ietf-quic-ack-frequency §3). */
export const MIN_ACK_DELAY_MICROS = 1000;
/** No peer may ask for this delay or a longer one (draft-ietf-quic-ack-frequency §4). */
export const ACK_DELAY_LIMIT_MICROS = 2 ** 14 * 1000;
/** What we ask peers for: an ACK for this share of our window, if that is so many packets, and for so many at most. */
export const ACK_FREQUENCY_WINDOW_SHARE = 1 / 16;
export const ACK_FREQUENCY_MIN_PACKETS = 4;
export const ACK_FREQUENCY_MAX_PACKETS = 64;
/** And for the last of them after this share of a round trip. */
export const ACK_FREQUENCY_RTT_SHARE = 1 / 4;

// --- timeouts ----------------------------------------------------------------------------------------------------------
export const IDLE_TIMEOUT_MILLIS = 30_000;
/** netquic/net: a client's PING after this much silence, so that idle sockets live as they do over TCP. */
export const NET_KEEP_ALIVE_MILLIS = 10_000;
/** Closing and draining last this many PTOs (RFC 9000 §10.2). */
export const CLOSE_PTOS = 3;
export const MAX_CLOSE_PTOS = 255;

// --- keys --------------------------------------------------------------------------------------------------------------
/** We update keys after this many packets, long before RFC 9001 §6.6 asks. */
export const KEY_UPDATE_PACKETS = 2 ** 22;
/** RFC 9001 §6.6: packets sealed under one key, and failed opens, at most. AES-GCM; ChaCha20; CCM. */
export const CONFIDENTIALITY_LIMIT_GCM = 2 ** 23;
export const CONFIDENTIALITY_LIMIT_CCM = 2 ** 21.5;
export const INTEGRITY_LIMIT_GCM = 2 ** 52;
export const INTEGRITY_LIMIT_CHACHA = 2 ** 36;
export const INTEGRITY_LIMIT_CCM = 2 ** 21.5;

// --- work that a peer causes and that moves nothing (RFC 9000 §21.9) -----------------------------------------------
/** PING and *_BLOCKED frames of one connection: so many at once, and so many a second after [ngtcp2 10,000 and 330]. */
export const USELESS_FRAMES_BURST = 10_000;
export const USELESS_FRAMES_PER_SECOND = 330;
/** So many bytes of stream data that the peer sends forgive one more: a fast sender is blocked once for each limit. */
export const USELESS_FRAME_STREAM_BYTES = 1024;

// --- endpoint ----------------------------------------------------------------------------------------------------------
/** Half-open handshakes: Retry above the first, refusal above the second. */
export const RETRY_ABOVE_HALF_OPEN = 256;
export const MAX_HALF_OPEN = 4096;
/** Stateless answers (version negotiation, reset, refusal; not Retry) per second and in one burst. */
export const STATELESS_PER_SECOND = 1000;
export const STATELESS_BURST = 1000;
/** Stateless answers that wait for the socket. */
export const MAX_STATELESS_QUEUED = 256;
/** Accepted connections that the application has not taken yet. */
export const MAX_ACCEPT_QUEUE = 1024;

// --- datapath ----------------------------------------------------------------------------------------------------------
/** Datagrams and bytes of one transmit batch: two GSO trains, which end at 64 datagrams or 64 KiB. */
export const TX_BATCH_DATAGRAMS = 96;
export const TX_BATCH_BYTES = 128 * KIB;
/** Reads of one receive batch: a super-datagram (GRO) or a single one each, 64 KiB apart and some more, so that
 *  neighbours do not fall into the same cache sets. 4 are in use while GRO delivers, all of them while it does not. */
export const RX_BATCH_SLOTS = 16;
export const RX_SLOT_BYTES = 68 * KIB + 64;
/** Datagrams of one receive batch: the kernel joins 128 at most into one read. */
export const RX_BATCH_DATAGRAMS = 128 * RX_BATCH_SLOTS;
/** Kernel buffers of a UDP socket, bytes; the default of 208 KiB holds three super-datagrams. */
export const SOCKET_BUFFER_BYTES = 4 * MIB;
/** Datagrams and bytes that the portable datapath holds between two turns; beyond them it drops, as a kernel does. */
export const PORTABLE_QUEUE_DATAGRAMS = 4096;
export const PORTABLE_QUEUE_BYTES = 8 * MIB;
/** Receive batches read in one turn of the event loop. */
export const RX_BATCHES_PER_TURN = 8;
/** Transmit batches sent in one turn before acknowledgements are read again. */
export const TX_BATCHES_PER_TURN = 16;

// --- a port shared by programs (quic host) -----------------------------------------------------------------------------
/** Largest message between the host and a program, bytes; a datagram that does not fit into one is dropped. */
export const MAX_BROKER_MESSAGE_BYTES = 64 * KIB;
/** What may wait for a program that does not read, bytes: datagrams up to the first, then it is detached. */
export const MAX_BROKER_DATAGRAMS_QUEUED_BYTES = 512 * KIB;
export const MAX_BROKER_QUEUED_BYTES = 1 * MIB;
/** Descriptors that may wait for it. */
export const MAX_UNIX_QUEUED_FDS = 1024;
/** How long a host that may have no more descriptors looks for no new programs; they wait in the kernel. */
export const UNIX_ACCEPT_REST_MILLIS = 100;
/** Programs at once, those that have not said who they are included: of the host's user, of each other user, and of those
 *  who are only to hear that they may not. */
export const MAX_BROKER_CONNECTIONS = 512;
export const MAX_BROKER_PROGRAMS_PER_OTHER_USER = 16;
export const MAX_BROKER_TURNED_AWAY = 16;
/** Members of one port's group beside the host's: with it as many as fit into one message. */
export const MAX_BROKER_MEMBERS = 252;
/** Addresses, and lists of names, of one program. */
export const MAX_BROKER_BINDS = 16;
export const MAX_BROKER_LISTENS = 256;
/** Names in one list, and bytes of a name (RFC 7301 §3.1, RFC 1035 §2.3.4). */
export const MAX_BROKER_NAMES = 64;
export const MAX_BROKER_NAME_BYTES = 255;
/** Names in all lists of another user's programs, each list as one more: every client is looked up in all of them. */
export const MAX_BROKER_NAMES_PER_OTHER_USER = 2048;
/** How long a program may take to say who it is, and how long those of before a restart have to come back. */
export const BROKER_HELLO_MILLIS = 2_000;
export const BROKER_RESUME_MILLIS = 1_000;
/** How often a program looks for a host that went away. */
export const BROKER_RECONNECT_MILLIS = 100;
/** First flights that were handed over, whose later packets with the client's own ids follow them, and for how long. */
export const MAX_BROKER_HANDED = 16_384;
export const BROKER_HANDED_MICROS = 30_000_000;

// --- Linux sockets ---------------------------------------------------------------------------------------------------
/** Events that a socket holds unread before its peer gets no more streams, which are what events are about. */
export const MAX_SOCKET_EVENTS = 4096;
/** TLS messages that a program leaves unread, bytes; more ends the connection (CRYPTO_BUFFER_EXCEEDED). */
export const MAX_SOCKET_HANDSHAKE_BYTES = 256 * KIB;

// --- control sockets -------------------------------------------------------------------------------------------------
/** Askers that a program answers at once; more are turned away. */
export const MAX_CONTROL_CONNECTIONS = 8;
/** Questions on one connection, and how long one may be, bytes. */
export const MAX_CONTROL_REQUESTS = 64;
export const MAX_CONTROL_REQUEST_BYTES = 4096;
/** Sockets in one message, which take less than a millisecond to tell; the loop turns between two of them. */
export const CONTROL_PAGE_SOCKETS = 64;
/** Longest message to an asker, and what may wait until it reads, bytes. */
export const MAX_CONTROL_FRAME_BYTES = 1 * MIB;
export const MAX_CONTROL_QUEUED_BYTES = 4 * MIB;
/** How long an asker may leave what it is sent, or ask nothing, milliseconds. */
export const CONTROL_PATIENCE_MILLIS = 5_000;
/** How long a program may take for a whole answer, however busy it looks, milliseconds. */
export const CONTROL_ANSWER_MILLIS = 30_000;
/** Sockets of one program that an asker takes: a program may lie about them without end. */
export const MAX_SURVEY_SOCKETS = 262_144;

// --- handshake agent (docs/agent.md) -------------------------------------------------------------------------------------
/** Longest message between a program and the agent, bytes: a configuration with its own trust store. */
export const MAX_AGENT_FRAME_BYTES = 1 * MIB;
/** When more waits until the other side reads, bytes, the agent reads no more, and a program begins no more handshakes. */
export const AGENT_BUSY_BYTES = 2 * MIB;
/** When more waits, the connection ends. */
export const MAX_AGENT_QUEUE_BYTES = 64 * MIB;
/** Programs at one agent. */
export const MAX_AGENT_PROGRAMS = 256;
/** Of one program: configurations, their bytes in all, and sessions that are not closed. */
export const MAX_AGENT_CONTEXTS = 1024;
export const MAX_AGENT_CONTEXT_BYTES = 16 * MIB;
export const MAX_AGENT_SESSIONS = 8192;
/** Bytes of TLS that one session is given. */
export const MAX_AGENT_SESSION_BYTES = 256 * KIB;
/** A handshake through the agent is given up after so long, milliseconds, whatever the program says. */
export const AGENT_HANDSHAKE_MILLIS = 30_000;
/** A session is kept so long after its handshake, milliseconds, for tickets that come late. */
export const AGENT_SESSION_REST_MILLIS = 60_000;
