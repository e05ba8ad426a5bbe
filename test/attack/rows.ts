/**
 * The attacks on a transport by their ids, and the tests that hold each: what a hostile peer does, within its bound, and the
 * honest twin, which does the same within the rules and succeeds. An entry is a test file and a piece of a title in it. A row
 * without both is not done: rows.test.ts demands them, `npm run attacks` runs them.
 */

export interface Row {
  id: string;
  attacks: readonly Entry[];
  twins: readonly Entry[];
}

export type Entry = readonly [path: string, title: string];

const A = "test/attack";
const acks = `${A}/acks.test.ts`;
const defaults = `${A}/defaults.test.ts`;
const endpoint = `${A}/endpoint.test.ts`;
const floods = `${A}/floods.test.ts`;
const frames = `${A}/frames.test.ts`;
const halfOpen = `${A}/half-open.test.ts`;
const attempts = `${A}/attempts.test.ts`;
const handshake = `${A}/handshake.test.ts`;
const integers = `${A}/integers.test.ts`;
const lifecycle = `${A}/lifecycle.test.ts`;
const memory = `${A}/memory.test.ts`;
const node = `${A}/node.test.ts`;
const packets = `${A}/packets.test.ts`;
const params = `${A}/params.test.ts`;
const streams = `${A}/streams.test.ts`;
const work = `${A}/work.test.ts`;
const moves = "test/conn/moves.test.ts";
const paths = "test/conn/paths.test.ts";
const preferred = "test/conn/preferred.test.ts";
const versions = "test/conn/versions.test.ts";
const dgrams = "test/conn/datagrams.test.ts";
const early = "test/transport/early.test.ts";
const apiClose = "test/api/close.test.ts";
const boundary = "test/addon/boundary.test.ts";
/** Held over every TLS library by tls.test.ts. */
const tls = "src/runtime/native/tls.contract.ts";
const goesOn = "a peer that acknowledges what came is served" as const;

function row(id: string, attacks: readonly Entry[], twins: readonly Entry[]): Row {
  return { id, attacks, twins };
}

export const ROWS: readonly Row[] = [
  row(
    "T01",
    [
      [acks, "they end it within four windows"],
      [handshake, "an optimistic ACK that covers a skipped number"],
    ],
    [[acks, goesOn]],
  ),
  row("T02", [[handshake, "RFC 9000 §13.1 (9000-13.1-01, 03, 04) at a"]], [[acks, goesOn]]),
  row(
    "T03",
    [
      [acks, "a count of ranges that the packet does not have"],
      [acks, "64 ranges in every packet"],
      [floods, "T03 9000-13.2.3-01 every second number only"],
      [floods, "acknowledges nothing: still answered, state is bounded"],
    ],
    [[acks, "twin: as many ranges as a peer keeps"]],
  ),
  row(
    "T04",
    [
      [floods, "20,000 repeats of one ACK cause no packet"],
      [acks, "one ACK over and over"],
    ],
    [[acks, goesOn]],
  ),
  row(
    "T05",
    [
      [floods, "T05 CVE-2024-22189 retirement without acknowledgement"],
      ["src/connid/peer.test.ts", "retirements that are never acknowledged"],
    ],
    [[floods, "retired ids are not used and are given back"]],
  ),
  row(
    "T06",
    [[floods, "T06 a peer that retires each new id at once"]],
    [[floods, "a packet to each issued id is accepted"]],
  ),
  row(
    "T07",
    [[packets, "T07 a flood of PATH_CHALLENGE"]],
    [[packets, "a PATH_RESPONSE is sent once, in a datagram of 1200 bytes"]],
  ),
  row("T08", [[work, "30,000 guessed PATH_RESPONSE frames"]], [[moves, "an answer counts on any path"]]),
  row(
    "T09",
    [
      [handshake, "data beyond the buffer in Initial"],
      [handshake, "data with gaps is held within the bound or closes"],
      [handshake, "1-RTT CRYPTO with gaps at a client that waits for tickets"],
    ],
    [[handshake, "a ClientHello of 5 KB in reverse order"]],
  ),
  row(
    "T10",
    [
      [streams, "single bytes with gaps: closed at the gap limit"],
      [memory, "900 single bytes with gaps"],
    ],
    [[streams, "T10 twin: a window of full packets in reverse order passes"]],
  ),
  row(
    "T11",
    [
      [streams, "9000-4.6-05 T11 RESET_STREAM above the limit"],
      [streams, "9000-4.6-06 T11 STOP_SENDING above the limit"],
      [streams, "9000-4.6-07 T11 MAX_STREAM_DATA above the limit"],
      [streams, "9000-4.6-08 T11 STREAM_DATA_BLOCKED above the limit"],
    ],
    [[streams, "T11 opening the highest stream first costs nothing"]],
  ),
  row(
    "T12",
    [
      [streams, "9000-4.5-08 T12 a reset above the stream limit"],
      [streams, "9000-4.5-09 T12 resets that sum up above the connection limit"],
    ],
    [[streams, "9000-4.1-02 exactly the connection limit"]],
  ),
  row(
    "T13",
    [[streams, "T13 sparse bytes raise no window before the application reads"]],
    [[defaults, "T13 windows that double with use"]],
  ),
  row(
    "T14",
    [[streams, "T14 a flood of BLOCKED frames and of tiny credit"]],
    [
      [defaults, "T14 a reader of few bytes"],
      ["src/conn/stats.test.ts", "a sender that is blocked again and again at full speed is honest"],
    ],
  ),
  row(
    "T15",
    [[defaults, "T15 to a peer that reads nothing"]],
    [["test/api/streams.test.ts", "a slow reader stops the writer"]],
  ),
  row(
    "T16",
    [[endpoint, "T16 handshakes that crawl end after 10 s"]],
    [[defaults, "one that crawls and is whole before that succeeds"]],
  ),
  row(
    "T17",
    [
      [endpoint, "turns Retry on, and it goes off again"],
      [endpoint, "above the second limit attempts are refused"],
      [halfOpen, "makes the server keep"],
      [attempts, "attempts of all clients hold so many bytes at most"],
    ],
    [[endpoint, "20 honest clients get in during a flood of 20,000 first flights a second"]],
  ),
  row(
    "T18",
    [
      [endpoint, "every flipped bit, cut and other address is refused"],
      [endpoint, "random tokens of 0 to 1000 bytes are no tokens"],
      ["src/crypto/token.test.ts", "T18 random bytes of any length are refused"],
    ],
    [[endpoint, "a NEW_TOKEN token validates one address, once"]],
  ),
  row(
    "T19",
    [
      [packets, "drops a Retry with"],
      [packets, "a Retry cut at any byte is dropped"],
      [packets, "Version Negotiation that proves nothing is dropped"],
    ],
    [[packets, "a Retry with the largest token that leaves room for TLS is followed"]],
  ),
  row(
    "T20",
    [
      ["src/frame/params.test.ts", "9368-4-03 9368-4-04 9368-4-05 version_information"],
      ["src/conn/versions.test.ts", "9368-4-09 what the server speaks would have led to the same version"],
      [versions, "a second one is not believed"],
    ],
    [[versions, "a client begins again with what both speak"]],
  ),
  row(
    "T21",
    [
      [endpoint, "never an answer to Version Negotiation, Retry, Handshake, 0-RTT"],
      [work, "two servers that are wired together fall silent"],
    ],
    [[endpoint, "one answer for each datagram, whatever is coalesced in it"]],
  ),
  row(
    "T22",
    [
      [endpoint, "one ClientHello and silence"],
      [endpoint, "T46 the closing state before validation"],
      [moves, "got no more than 3 times its bytes"],
    ],
    [[endpoint, "dropped packets of a datagram count"]],
  ),
  row(
    "T23",
    [[work, "of a host that echoes: five datagrams of ours at most"]],
    [[endpoint, "one answer for each datagram"]],
  ),
  row(
    "T24",
    [
      [packets, "resets that answer resets end, T24"],
      [packets, "is smaller than its trigger, never below 21 bytes"],
      ["src/endpoint/answers.test.ts", "a burst is STATELESS_BURST, then STATELESS_PER_SECOND"],
    ],
    [
      [packets, "that ends in the token is one"],
      ["test/api/process.test.ts", "resets its connections: ERR_QUIC_STATELESS_RESET"],
    ],
  ),
  row(
    "T25",
    [
      ["test/api/early.test.ts", "a first flight that is sent a hundred times more is handled once"],
      [early, "the same first flight twice opens its streams once"],
    ],
    [["test/api/early.test.ts", "a request goes with the first packets and is marked"]],
  ),
  row(
    "T26",
    [[early, "is with the server before the handshake is complete, and marked"]],
    [["test/api/early.test.ts", "and is marked; the next one is not"]],
  ),
  row(
    "T27",
    [
      [tls, "T27 a ticket whose thief says"],
      [tls, "no ticket lets a client back in without its certificate"],
      [early, "nothing is offered with a ticket of another protocol"],
    ],
    [[tls, "a ticket resumes, and the resumed session gives another"]],
  ),
  row(
    "T28",
    [
      [node, "what a server with a bad certificate says at once reaches no callback"],
      ["test/api/handshake.test.ts", "data written before the verdict on a pin never leaves"],
    ],
    [[lifecycle, "1-RTT data before the client's Finished reaches nobody until then"]],
  ),
  row(
    "T29",
    [
      [packets, "T29 packets of no connection, forged or old, from another address change nothing"],
      [moves, "a packet that was copied to another address: the next one leads back at once"],
      [paths, "no more than PATH_MOVES_BURST at once are followed"],
    ],
    [[moves, "the newest packet moves the path, and both addresses are asked"]],
  ),
  row(
    "T30",
    [
      [moves, "without a spare id the connection goes on with the one it has"],
      [paths, "a client that left no id is not followed when it chose another of ours"],
    ],
    [[moves, "each address sees an id of its own"]],
  ),
  row(
    "T31",
    [
      [floods, "two updates without a packet of ours in between"],
      [floods, "forged updates cost one or two opens each"],
      [endpoint, "100 forged packets of each kind cost a drop each"],
    ],
    [[floods, "updates as often as allowed leave no keys behind"]],
  ),
  row(
    "T32",
    [
      ["src/crypto/keys.test.ts", "packets sealed with one key"],
      ["src/crypto/keys.test.ts", "packets that did not open, over the whole connection"],
    ],
    [["src/crypto/keys.test.ts", "we want new keys after KEY_UPDATE_PACKETS"]],
  ),
  row("T33", [[work, "every class is unmasked once and opened once"]], [[work, "as a good packet is"]]),
  row(
    "T34",
    [[packets, "packets with another destination id are dropped and keep nothing"]],
    [[packets, "what follows a broken packet is processed"]],
  ),
  row("T35", [[frames, "packets at a"]], [["src/frame/decode.test.ts", "belongs in"]]),
  row(
    "T36",
    [
      [lifecycle, "a HANDSHAKE_DONE that waited for its keys came before our Finished"],
      [lifecycle, "a Finished before the ClientHello, acknowledgements before anything"],
    ],
    [[lifecycle, "all 720 orders of a server's first six packets end in a handshake"]],
  ),
  row(
    "T37",
    [
      [params, "every known id with every length from 0 to 17"],
      [params, "a block cut after each byte"],
      [params, "thousands of unknown parameters"],
    ],
    [
      [params, "twin: unknown ids with every length"],
      [params, "parameters at the edge of what is legal, T37 twin"],
    ],
  ),
  row(
    "T38",
    [
      [integers, "the verdict is that of exact arithmetic"],
      [streams, "each frame cut after each byte is FRAME_ENCODING_ERROR"],
    ],
    [[integers, "codes of the application arrive as they were sent"]],
  ),
  row(
    "T39",
    [
      ["src/frame/params.test.ts", "what greases is reserved"],
      ["test/conn/quic-bit.test.ts", "is drawn by both sides when both take both"],
    ],
    [[params, "unknown ids with every length, ids at the borders of varints, and reserved ones, are ignored"]],
  ),
  row(
    "T40",
    [[work, "ids that differ in a few bits only cost at most twice what random ones do"]],
    [[work, "twin: another secret puts the same ids elsewhere"]],
  ),
  row(
    "T41",
    [
      ["test/sim/mtu.test.ts", "a black hole in the middle of a transfer costs a moment"],
      [
        "test/transport/path-hints.test.ts",
        "forged ICMP messages of all kinds neither shrink datagrams nor end the connection",
      ],
    ],
    [["test/sim/mtu.test.ts", "found, and no loss taken for congestion"]],
  ),
  row(
    "T42",
    [[floods, "ECN counts that are too low, too high or fall turn ECN off and close nothing"]],
    [["src/outqueue/recovery.test.ts", "a reported CE mark is one congestion event"]],
  ),
  row(
    "T43",
    [
      [acks, "a delay of any size leaves min_rtt alone"],
      [acks, "only every tenth packet is acknowledged"],
      [acks, "nothing is acknowledged at all"],
    ],
    [["src/outqueue/recovery.test.ts", "the delay is scaled, capped once the handshake is confirmed"]],
  ),
  row(
    "T44",
    [
      [floods, "PADDING-only packets are not acknowledged"],
      [floods, "no busy loop, no exception, an end"],
    ],
    [[work, "two of ours never acknowledge acknowledgements"]],
  ),
  row("T45", [[packets, "datagrams of every size at a"]], [[node, "neither end it nor stall it"]]),
  row(
    "T46",
    [
      [lifecycle, "replies grow as the logarithm"],
      [lifecycle, "sends nothing"],
      [lifecycle, "a reason longer than its packet"],
    ],
    [[defaults, "what was closed is gone after CLOSE_PTOS"]],
  ),
  row(
    "T47",
    [
      [lifecycle, "few wakeups, one end at the right time"],
      [lifecycle, "backs off and ends"],
    ],
    [[defaults, "T47 a silent connection ends after IDLE_TIMEOUT_MILLIS"]],
  ),
  row(
    "T48",
    [
      [preferred, "no client goes there"],
      [preferred, "one that does not answer gets probes only"],
    ],
    [[preferred, "the client asks it after the handshake, and then both sides use it"]],
  ),
  row(
    "T49",
    [
      [dgrams, "a flood that the application does not take is bounded"],
      [dgrams, "one byte more is a PROTOCOL_VIOLATION"],
    ],
    [[dgrams, "each arrives whole and once, and is acknowledged"]],
  ),
  row(
    "T50",
    [[endpoint, "T50 more connections than the application takes"]],
    [["test/api/connect.test.ts", "a client beyond maxConnectionsTotal, or while busy, is refused"]],
  ),
  row(
    "T51",
    [
      [lifecycle, "an endpoint with connections in every state leaves nothing"],
      [apiClose, "in onsession, onhandshake, onkeylog, onsessionticket: that session ends, others go on"],
      [boundary, "sockets closed inside their own callbacks"],
    ],
    [[apiClose, "close lets streams finish, opens no more, and ends cleanly on both sides"]],
  ),
  row(
    "J01",
    [
      [integers, "the verdict is that of exact arithmetic"],
      [streams, "T38, J01 integers around every border"],
    ],
    [[integers, "a transport code of a peer's close is reported exactly"]],
  ),
  row(
    "J02",
    [[node, "idle timeouts of 2^31 ms and beyond make no busy loop"]],
    [[lifecycle, "few wakeups, one end at the right time"]],
  ),
  row(
    "J03",
    [
      [memory, "a byte on each of 100 streams"],
      [memory, "a byte at the end of the window"],
    ],
    [[memory, "200,000 bytes that nobody reads"]],
  ),
  row("J04", [[node, "J04 of a reason of any UTF-16 units"]], [[lifecycle, "and one of any bytes, at a"]]),
  row(
    "J05",
    [[node, "as keys of options they are refused"]],
    [[node, "as the name that a client asks for, they get the default certificate"]],
  ),
  row(
    "J06",
    [[node, "J06, J09 64 KiB of adverse text cost each parser five milliseconds at most"]],
    [["src/cli/transfer/options.test.ts", "the command line of quic transfer"]],
  ),
  row(
    "J07",
    [
      [node, "resets, stops, closes and errors that nobody awaits are no unhandled rejections"],
      [apiClose, "that stream ends, the session goes on"],
    ],
    [[apiClose, "others go on"]],
  ),
  row(
    "J08",
    [["src/base/id-map.test.ts", "J08 ids that collide without the secret"]],
    [["src/base/id-map.test.ts", "keeps ids apart up to the last integer"]],
  ),
  row(
    "J09",
    [[node, "J06, J09 64 KiB of adverse text"]],
    [[integers, "codes of the application arrive as they were sent, to the last bit"]],
  ),
  row(
    "J10",
    [
      [memory, "200,000 bytes that nobody reads"],
      [boundary, "without growth"],
    ],
    [[memory, "a byte at the end of the window"]],
  ),
  row(
    "J11",
    [
      [boundary, "50,000 calls from seed"],
      [boundary, "a number that is no slot is not taken for slot 0"],
      [`${A}/arrays.test.ts`, "a read into an array that was transferred away fails"],
    ],
    [[boundary, "a file is read into the part that was named"]],
  ),
  row("J12", [[halfOpen, "makes the server keep"]], [[memory, "one that moved data and rests takes"]]),
];
