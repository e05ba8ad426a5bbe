import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeParams } from "#src/frame/params.js";
import { MAX_CRYPTO_OUT_BYTES } from "#src/proto/limits.js";
import type { TransportParams } from "#src/proto/params.js";
import {
  CRYPTO_BUFFER_EXCEEDED,
  CRYPTO_ERROR,
  FRAME_ENCODING_ERROR,
  INTERNAL_ERROR,
  PROTOCOL_VIOLATION,
  TRANSPORT_PARAMETER_ERROR,
} from "#src/proto/transport-error.js";
import { Arena } from "../support/arena.js";
import { CERTIFICATE, ENCRYPTED_EXTENSIONS, FINISHED, filler } from "../support/null-tls-messages.js";
import { ack, bytes, crypto, padding, PING, vi } from "../support/raw-frames.js";
import {
  Bystander,
  LEVEL_APP,
  LEVEL_HANDSHAKE,
  LEVEL_INITIAL,
  RawPeer,
  type RawPeerOptions,
} from "../support/raw-peer.js";

const UNEXPECTED_MESSAGE = CRYPTO_ERROR + 10;
const MISSING_EXTENSION = CRYPTO_ERROR + 109;
const NO_APPLICATION_PROTOCOL = CRYPTO_ERROR + 120;
const DECRYPT_ERROR = CRYPTO_ERROR + 51;
const DECODE_ERROR = CRYPTO_ERROR + 50;
const KEY_UPDATE = 24;
const END_OF_EARLY_DATA = 5;

const ROLES = ["server", "client"] as const;
type Role = (typeof ROLES)[number];

/** Runs a handshake as far as it goes; returns the code that the peer reads, -1 for none. */
function attempt(role: Role, options: RawPeerOptions): number {
  const arena = new Arena();
  const bystander = role === "server" ? new Bystander(arena) : null;
  const peer = new RawPeer(arena, { ...options, isServer: role === "client" });
  if (role === "client") arena.connect(peer);
  peer.hello();
  peer.pumpTls();
  peer.validated = true;
  peer.flushTls();
  const { closeCode } = peer;
  bystander?.assertServed();
  arena.assertCleanEnd();
  return closeCode;
}

/** One more parameter behind the right ones. */
function withParam(id: number, value: Uint8Array) {
  return (isServer: boolean) => (params: TransportParams) =>
    bytes(encodeParams(params, isServer), vi(id), vi(value.length), value);
}

type ParamCase = [
  name: string,
  roles: readonly Role[],
  code: number,
  edit: (isServer: boolean) => RawPeerOptions["params"],
];

const changed = (change: (params: TransportParams) => void) => (isServer: boolean) => (params: TransportParams) => {
  change(params);
  return encodeParams(params, isServer);
};

const TPE = TRANSPORT_PARAMETER_ERROR;
const token = padding(16);
const paramCases: ParamCase[] = [
  [
    "9000-7.3-01, 02 Q03 initial_source_connection_id missing",
    ROLES,
    TPE,
    changed((params) => (params.initialScid = null)),
  ],
  [
    "9000-7.3-04, 05 another initial_source_connection_id",
    ROLES,
    TPE,
    changed((params) => (params.initialScid = padding(8))),
  ],
  [
    "9000-7.3-03 original_destination_connection_id missing",
    ["client"],
    TPE,
    changed((params) => (params.originalDcid = null)),
  ],
  [
    "9000-7.3-06 another original_destination_connection_id",
    ["client"],
    TPE,
    changed((params) => (params.originalDcid = padding(8))),
  ],
  [
    "9000-7.3-08 retry_source_connection_id without a Retry",
    ["client"],
    TPE,
    changed((params) => (params.retryScid = padding(8))),
  ],
  ["9000-18.2-01 Q04 original_destination_connection_id", ["server"], TPE, withParam(0x00, padding(8))],
  ["9000-18.2-02 Q05 preferred_address", ["server"], TPE, withParam(0x0d, bytes(padding(24), 4, padding(20)))],
  ["9000-18.2-03 Q06 retry_source_connection_id", ["server"], TPE, withParam(0x10, padding(8))],
  ["9000-18.2-04 Q07 stateless_reset_token", ["server"], TPE, withParam(0x02, token)],
  ["9000-18.2-05 Q08 max_udp_payload_size 1199", ROLES, TPE, withParam(0x03, vi(1199))],
  ["9000-18.2-05 max_udp_payload_size 1200", ROLES, -1, withParam(0x03, vi(1200))],
  ["9000-18.2-06 Q09 ack_delay_exponent 21", ROLES, TPE, withParam(0x0a, vi(21))],
  ["9000-18.2-06 ack_delay_exponent 20", ROLES, -1, withParam(0x0a, vi(20))],
  ["9000-18.2-07 Q10 max_ack_delay 2^14", ROLES, TPE, withParam(0x0b, vi(2 ** 14))],
  ["9000-18.2-08 active_connection_id_limit 1", ROLES, TPE, changedLimit(1)],
  ["9000-4.6-01 initial_max_streams_bidi above 2^60", ROLES, TPE, replaced(0x08, vi(2n ** 60n + 1n))],
  ["9000-4.6-02 initial_max_streams_uni above 2^60", ROLES, TPE, replaced(0x09, vi(2n ** 60n + 1n))],
  ["9000-4.6-01 initial_max_streams_bidi 2^60", ROLES, -1, replaced(0x08, vi(2n ** 60n))],
  ["9000-18.2-09 stateless_reset_token of 15 bytes", ["client"], TPE, withParam(0x02, padding(15))],
  ["9000-18.2-09 stateless_reset_token of 17 bytes", ["client"], TPE, withParam(0x02, padding(17))],
  ["9000-18.2-10 preferred_address with an empty id", ["client"], TPE, withParam(0x0d, bytes(padding(24), 0, token))],
  [
    "9000-18.2-12 preferred_address with an id of 21 bytes",
    ["client"],
    TPE,
    withParam(0x0d, bytes(padding(24), 21, padding(21), token)),
  ],
  ["9000-18.2-12 preferred_address that is cut", ["client"], TPE, withParam(0x0d, padding(40))],
  ["9000-18.2-13 disable_active_migration with a value", ROLES, TPE, withParam(0x0c, padding(1))],
  ["9000-18.2-14 a connection id of 21 bytes", ROLES, TPE, replaced(0x0f, padding(21))],
  ["9000-7.4-01 an integer without bytes", ROLES, TPE, replaced(0x04, padding(0))],
  ["9000-7.4-01 an integer with a byte too many", ROLES, TPE, replaced(0x04, padding(2))],
  ["9000-7.4-02 a parameter twice", ROLES, TPE, withParam(0x04, vi(1 << 24))],
  [
    "9000-7.4-03 a length beyond the end",
    ROLES,
    TPE,
    (isServer) => (params) => bytes(encodeParams(params, isServer), 0x21, 9, 1),
  ],
  ["9000-7.4-03 a cut integer", ROLES, TPE, (isServer) => (params) => bytes(encodeParams(params, isServer), 0xc0, 1)],
  ["9000-7.4.2-01 unknown parameters", ROLES, -1, withParam(31 * 77 + 27, padding(700))],
];

function changedLimit(limit: number) {
  return replaced(0x0e, vi(limit));
}

/** The parameters of the peer, with this one in place of its own. */
function replaced(id: number, value: Uint8Array) {
  return (isServer: boolean) => (params: TransportParams) => {
    const own = encodeParams(params, isServer);
    const kept: Uint8Array[] = [];
    for (let at = 0; at < own.length; ) {
      const end = at + 2 + own[at + 1];
      if (own[at] !== id) kept.push(own.subarray(at, end));
      at = end;
    }
    return bytes(...kept, vi(id), vi(value.length), value);
  };
}

for (const role of ROLES) {
  describe(`RFC 9000 §7.3, §7.4, §18.2 transport parameters at a ${role}`, () => {
    for (const [name, roles, code, edit] of paramCases) {
      if (!roles.includes(role)) continue;
      test(name, () => {
        const params = edit(role === "client");
        assert.equal(attempt(role, params === undefined ? {} : { params }), code);
      });
    }
  });
}

test("RFC 9000 §18.2 (9000-18.2-11) preferred_address of a server with an empty connection id", () => {
  const params = withParam(0x0d, bytes(padding(24), 4, padding(20)))(true);
  assert.equal(attempt("client", { scid: padding(0), params }), TPE);
});

test("RFC 9000 §18.2, §5.1.1 preferred_address with the id that the server has already", () => {
  const scid = Uint8Array.of(1, 2, 3, 4);
  const params = withParam(0x0d, bytes(padding(24), scid.length, scid, padding(16)))(true);
  assert.equal(attempt("client", { scid, params }), TPE);
});

/** Replaces a message of the peer. */
function edit(type: number, change: (message: Uint8Array) => Uint8Array | null): RawPeerOptions {
  return { editTls: (_level, message) => (message[0] === type ? change(message) : message) };
}

/** The extension of transport parameters under another type. */
function renameParams(message: Uint8Array): Uint8Array {
  const out = message.slice();
  const at = out.findIndex(
    (byte, i) => byte === 0x00 && out[i + 1] === 0x39 && out.length - i - 4 === (out[i + 2] << 8) + out[i + 3],
  );
  assert.ok(at > 0);
  out[at] = 0xff;
  out[at + 1] = 0xa5;
  return out;
}

type TlsCase = [name: string, role: Role, code: number, options: RawPeerOptions];
const CLIENT_HELLO = 1;
const SERVER_HELLO = 2;
const tlsCases: TlsCase[] = [
  ["RFC 9001 §8.1 (9001-8.1-01) Q30 no protocol in common", "server", NO_APPLICATION_PROTOCOL, { alpn: ["other"] }],
  [
    "RFC 9001 §8.2 Q31, Q32 no quic_transport_parameters",
    "server",
    MISSING_EXTENSION,
    edit(CLIENT_HELLO, renameParams),
  ],
  ["RFC 9001 §8.2 no quic_transport_parameters", "client", MISSING_EXTENSION, edit(ENCRYPTED_EXTENSIONS, renameParams)],
  ["RFC 9001 §4.8 (9001-4.8-07) a wrong Finished", "server", DECRYPT_ERROR, edit(FINISHED, flipLast)],
  ["RFC 9001 §4.8 (9001-4.8-07) a wrong Finished", "client", DECRYPT_ERROR, edit(FINISHED, flipLast)],
  [
    "RFC 9001 §4.8 (9001-4.8-08) Certificate before EncryptedExtensions",
    "client",
    UNEXPECTED_MESSAGE,
    edit(ENCRYPTED_EXTENSIONS, () => filler(CERTIFICATE, 60)),
  ],
  [
    "RFC 9001 §6 (9001-6-01) Q28 KeyUpdate in Handshake",
    "server",
    UNEXPECTED_MESSAGE,
    edit(FINISHED, () => filler(KEY_UPDATE, 1)),
  ],
  [
    "RFC 9001 §6 KeyUpdate in Handshake",
    "client",
    UNEXPECTED_MESSAGE,
    edit(ENCRYPTED_EXTENSIONS, () => filler(KEY_UPDATE, 1)),
  ],
  [
    "RFC 9001 §8.3 Q33 EndOfEarlyData",
    "server",
    UNEXPECTED_MESSAGE,
    edit(FINISHED, () => filler(END_OF_EARLY_DATA, 0)),
  ],
  [
    "RFC 9001 §4.8 (9001-4.8-02) a ClientHello that is cut",
    "server",
    DECODE_ERROR,
    edit(CLIENT_HELLO, (message) => filler(1, message.length - 40)),
  ],
  ["a ServerHello to a server", "server", UNEXPECTED_MESSAGE, edit(CLIENT_HELLO, () => filler(SERVER_HELLO, 60))],
  ["a ClientHello to a client", "client", UNEXPECTED_MESSAGE, edit(SERVER_HELLO, () => filler(CLIENT_HELLO, 60))],
  [
    "a TLS message above 64 KiB",
    "server",
    CRYPTO_BUFFER_EXCEEDED,
    edit(CLIENT_HELLO, () => Uint8Array.of(1, 1, 0, 1, 0)),
  ],
];

function flipLast(message: Uint8Array): Uint8Array {
  const out = message.slice();
  out[out.length - 1] ^= 1;
  return out;
}

describe("TLS messages", () => {
  for (const [name, role, code, options] of tlsCases) {
    test(`${name} at a ${role}`, () => {
      assert.equal(attempt(role, options), code);
    });
  }

  for (const [name, message, atClient] of [
    ["KeyUpdate (Q29)", filler(KEY_UPDATE, 1), UNEXPECTED_MESSAGE],
    ["Finished", filler(FINISHED, 32), UNEXPECTED_MESSAGE],
    ["CertificateRequest (9001-4.4-02)", filler(13, 32), PROTOCOL_VIOLATION],
    ["ClientHello", filler(CLIENT_HELLO, 100), UNEXPECTED_MESSAGE],
  ] as const) {
    for (const role of ROLES) {
      test(`RFC 9001 §6, §4.4 ${name} in 1-RTT at a ${role}`, () => {
        const arena = new Arena();
        const peer = new RawPeer(arena, { isServer: role === "client" });
        if (role === "client") arena.connect(peer);
        peer.connect().sendCrypto(LEVEL_APP, message);
        assert.equal(peer.closeCode, role === "client" ? atClient : UNEXPECTED_MESSAGE);
        arena.assertCleanEnd();
      });
    }
  }

  test("RFC 9001 §4.6.1 (9001-4.6.1-01) a ticket with another max_early_data_size at a client", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena, { isServer: true });
    arena.connect(peer);
    peer.connect();
    const body = bytes(padding(8), 1, 0, 0, 2, [1, 2], 0, 8, 0, 42, 0, 4, [0, 0, 0x40, 0]);
    peer.sendCrypto(LEVEL_APP, bytes(4, 0, 0, body.length, body));
    assert.equal(peer.closeCode, PROTOCOL_VIOLATION);
    arena.assertCleanEnd();
  });
});

/** A peer at the Initial level of the endpoint: nothing of TLS was exchanged yet at a client. */
function earlyPeer(role: Role): { arena: Arena; peer: RawPeer } {
  const arena = new Arena();
  const peer = new RawPeer(arena, role === "client" ? { isServer: true, editTls: () => null } : {});
  if (role === "client") arena.connect(peer);
  return { arena, peer };
}

describe("CRYPTO frames, T09", () => {
  for (const role of ROLES) {
    test(`RFC 9000 §7.5 (9000-7.5-02) data beyond the buffer in Initial at a ${role}`, () => {
      for (const offset of [32 * 1024, 2 ** 20, 2 ** 40, 2n ** 53n]) {
        const { arena, peer } = earlyPeer(role);
        peer.send(LEVEL_INITIAL, crypto(offset, padding(900)));
        assert.equal(peer.closeCode, CRYPTO_BUFFER_EXCEEDED);
        arena.assertCleanEnd();
      }
      const { arena, peer } = earlyPeer(role);
      peer.send(LEVEL_INITIAL, crypto(2n ** 62n - 1n, padding(2)));
      assert.ok([FRAME_ENCODING_ERROR, CRYPTO_BUFFER_EXCEEDED].includes(peer.closeCode), "9000-19.6-01");
      arena.assertCleanEnd();
    });

    test(`RFC 9000 §7.5, CVE-2024-1765 data with gaps is held within the bound or closes at a ${role}`, () => {
      const { arena, peer } = earlyPeer(role);
      for (let at = 1; at < 40_000 && peer.closeCode < 0; at += 2) {
        const frames = [crypto(at, padding(1)), crypto(at + 1000, padding(1)), crypto(at + 2000, padding(1))];
        peer.send(LEVEL_INITIAL, ...frames);
        for (const conn of arena.conns) assert.ok(conn.heldBytes() <= 70_000, `${conn.heldBytes()} held`);
      }
      assert.equal(peer.closeCode, CRYPTO_BUFFER_EXCEEDED);
      arena.assertCleanEnd();
    });
  }

  test("a certificate chain of ours beyond MAX_CRYPTO_OUT_BYTES ends the attempt with a reason, not the process", () => {
    const arena = new Arena({ tls: { certificateBytes: MAX_CRYPTO_OUT_BYTES } });
    const peer = new RawPeer(arena).hello();
    assert.equal(peer.closeCode, INTERNAL_ERROR);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §7.5 (9000-7.5-01), RFC 9001 §4.3 a ClientHello of 5 KB in reverse order", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena, { tls: { keyShareBytes: 5000 } });
    const held = arena.hold(() => peer.hello());
    assert.ok(held.length >= 5);
    for (const datagram of held.toReversed()) arena.send(peer, datagram);
    peer.pumpTls();
    peer.validated = true;
    peer.flushTls();
    assert.ok(peer.lines(LEVEL_APP).includes("HANDSHAKE_DONE"));
    arena.assertCleanEnd();
  });

  for (const role of ROLES) {
    test(`RFC 9001 §4.1.3 (9001-4.1.3-01) new data at a level that is over, at a ${role}`, () => {
      const arena = new Arena();
      const peer = new RawPeer(arena, { isServer: role === "client" });
      if (role === "client") arena.connect(peer);
      if (role === "server") {
        peer.hello();
      } else {
        peer.hello();
        const conn = arena.conns[0];
        assert.ok(conn.handshakeState.complete);
      }
      const level = role === "server" ? LEVEL_INITIAL : LEVEL_HANDSHAKE;
      peer.sendCrypto(level, filler(FINISHED, 32));
      assert.equal(peer.closeCode, PROTOCOL_VIOLATION);
      arena.assertCleanEnd();
    });
  }

  test("RFC 9001 §4.1.3 (9001-4.1.3-02) the beginning of a message after ServerHello in Initial", () => {
    const options = edit(SERVER_HELLO, (message) => bytes(message, 2, 0, 0));
    assert.equal(attempt("client", options), PROTOCOL_VIOLATION);
  });

  test("RFC 9000 §7.5 (9000-7.5-03) 1-RTT CRYPTO with gaps at a client that waits for tickets", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena, { isServer: true });
    arena.connect(peer);
    peer.connect();
    for (let at = 1; at < 2 ** 20 && peer.closeCode < 0; at += 900) {
      peer.send(LEVEL_APP, crypto(at, padding(800)));
      assert.ok(arena.conns[0].heldBytes() <= 128 * 1024);
    }
    assert.equal(peer.closeCode, CRYPTO_BUFFER_EXCEEDED);
    arena.assertCleanEnd();
  });
});

describe("acknowledgements of what was never sent, T01, T02", () => {
  for (const role of ROLES) {
    for (const level of [LEVEL_INITIAL, LEVEL_HANDSHAKE, LEVEL_APP] as const) {
      test(`RFC 9000 §13.1 (9000-13.1-01, 03, 04) at a ${role}, level ${level}`, () => {
        for (const ranges of [
          [[0, 1000]],
          [
            [1000, 1000],
            [0, 0],
          ],
          [[2 ** 50, 2 ** 50]],
        ] as [number, number][][]) {
          const arena = new Arena();
          const isClient = role === "client";
          const editTls = (of: number, message: Uint8Array) => (level === LEVEL_INITIAL || of !== 0 ? null : message);
          const options = isClient && level !== LEVEL_APP ? { isServer: true, editTls } : { isServer: isClient };
          const peer = new RawPeer(arena, options);
          if (role === "client") arena.connect(peer);
          if (level === LEVEL_APP) peer.connect();
          else peer.hello();
          peer.validated = true;
          if (level === LEVEL_HANDSHAKE) peer.pumpTls();
          peer.send(level, ack(...ranges));
          assert.equal(peer.closeCode, PROTOCOL_VIOLATION);
          arena.assertCleanEnd();
        }
      });
    }

    test(`RFC 9000 §21.4 (9000-13.1-02) an optimistic ACK that covers a skipped number, at a ${role}`, () => {
      const arena = new Arena();
      const peer = new RawPeer(arena, { isServer: role === "client" });
      if (role === "client") arena.connect(peer);
      peer.connect();
      let rounds = 0;
      for (; peer.closeCode < 0 && rounds < 2000; rounds++) {
        peer.send(LEVEL_APP, PING, PING);
        peer.send(LEVEL_APP, PING);
        const largest = Math.max(...peer.packets.slice(-5).map((packet) => packet.pn));
        peer.send(LEVEL_APP, ack([0, largest]));
      }
      assert.equal(peer.closeCode, PROTOCOL_VIOLATION);
      assert.ok(rounds < 600, `${rounds} rounds`);
      arena.assertCleanEnd();
    });
  }

  test("RFC 9000 §19.3 (9000-19.3-01, 9000-19.3.1-01, 02, 9000-19.3.2-01) malformed ACK frames", () => {
    const frames = [
      bytes(2, vi(0), vi(0), vi(2 ** 31), vi(0), vi(0), vi(0)),
      bytes(2, vi(5), vi(0), vi(0), vi(6)),
      bytes(2, vi(10), vi(0), vi(1), vi(0), vi(20), vi(0)),
      bytes(3, vi(0), vi(0), vi(0), vi(0)),
    ];
    for (const frame of frames) {
      const arena = new Arena();
      const peer = new RawPeer(arena).connect();
      peer.send(LEVEL_APP, frame);
      assert.equal(peer.closeCode, FRAME_ENCODING_ERROR);
      arena.assertCleanEnd();
    }
  });

  test("RFC 9002 §5.3 (9000-19.3-02, T43) a huge ACK Delay changes no RTT estimate beyond max_ack_delay", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena, {
      params: (params) => encodeParams({ ...params, ackDelayExponent: 20 }, false),
    }).connect();
    const { rtt } = arena.conns[0].recovery;
    for (let i = 0; i < 20; i++) {
      peer.send(LEVEL_APP, PING, PING);
      peer.send(LEVEL_APP, PING);
      arena.advance(100_000);
      const largest = peer.packets.at(-1)?.pn ?? 0;
      peer.send(LEVEL_APP, bytes(2, vi(largest), vi(2n ** 62n - 1n), vi(0), vi(0)));
    }
    assert.ok(
      Number.isFinite(rtt.smoothedRttMicros) && rtt.smoothedRttMicros >= 0 && rtt.smoothedRttMicros < 10_000_000,
    );
    assert.equal(arena.conns[0].closeInfo, null);
    arena.assertCleanEnd();
  });
});
