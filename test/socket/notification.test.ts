/**
 * The notification cases 1 to 30 of the Linux QUIC functional tests: ten things to be told of, each three times: not told
 * before its event is switched on, told with the right payload while it is on, not told after it is switched off.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { simAddress } from "#src/sim/batches.js";
import * as n from "#src/socket/numbers.js";
import type { QuicSock } from "#src/socket/sock.js";
import { connectionIdInfo, errInfo, eventOption, streamUpdate } from "#src/socket/structs.js";
import { receive, send, setOption, SocketPair, text } from "./support.js";

const NEW = n.MSG_QUIC_STREAM_NEW;
const FIN = n.MSG_QUIC_STREAM_FIN;
const SECOND = 1_000_000;

interface Case {
  what: string;
  type: number;
  /** Makes it happen; afterwards both sides rest. */
  happens(sockets: SocketPair): void;
  /** Who is told, and the payloads in any order. */
  told: (sockets: SocketPair) => [sock: QuicSock, payloads: Uint8Array[]][];
}

const update = (id: number, state: number, errcode: number, finalsz: number): Uint8Array =>
  streamUpdate.encode({ id, state, errcode, finalsz });

const u64 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
};

/** Streams of this type until the peer gives credit for more: 50 of 100 are over. */
function endStreams({ client, server, pair }: SocketPair, type: number): void {
  for (let index = 0; index < 50; index++) send(client, "x", 4 * index + type, NEW | FIN);
  pair.advance(SECOND);
  for (let item = server.list.data[0]; item !== undefined; item = server.list.data[0]) receive(server);
  if (type === 0) for (let index = 0; index < 50; index++) send(server, "", 4 * index, FIN);
  pair.advance(SECOND);
  for (let item = client.list.data[0]; item !== undefined; item = client.list.data[0]) readData(client);
  pair.advance(SECOND);
}

/** Takes the first data, past events. */
function readData({ attached, list }: QuicSock): void {
  const item = list.data[0];
  assert.ok(item?.kind === "stream");
  attached?.transport.atEnd(item.id);
  list.dropData();
}

const CASES: Case[] = [
  {
    what: "STREAM_UPDATE of a receiver: RECV, and RECVD with the final size",
    type: n.QUIC_EVENT_STREAM_UPDATE,
    happens: ({ client }) => send(client, "quic test", 2, NEW | FIN),
    told: ({ server }) => [
      [server, [update(2, n.QUIC_STREAM_RECV_STATE_RECV, 0, 0), update(2, n.QUIC_STREAM_RECV_STATE_RECVD, 0, 9)]],
    ],
  },
  {
    what: "STREAM_UPDATE of a sender: RECVD when all is acknowledged",
    type: n.QUIC_EVENT_STREAM_UPDATE,
    happens: ({ client }) => send(client, "quic test", 2, NEW | FIN),
    told: ({ client }) => [[client, [update(2, n.QUIC_STREAM_SEND_STATE_RECVD, 0, 9)]]],
  },
  {
    what: "STREAM_UPDATE of a reset: RESET_RECVD on both sides, with code and final size",
    type: n.QUIC_EVENT_STREAM_UPDATE,
    happens: ({ client, pair }) => {
      send(client, "quic", 2, NEW);
      pair.advance(SECOND);
      setOption(client, n.QUIC_SOCKOPT_STREAM_RESET, errInfo.encode({ stream_id: 2, errcode: 1 }));
    },
    told: ({ client, server }) => [
      [client, [update(2, n.QUIC_STREAM_SEND_STATE_RESET_RECVD, 1, 4)]],
      [server, [update(2, n.QUIC_STREAM_RECV_STATE_RECV, 0, 0), update(2, n.QUIC_STREAM_RECV_STATE_RESET_RECVD, 1, 4)]],
    ],
  },
  {
    what: "STREAM_MAX_STREAM of both kinds: the id of the last stream that may be opened",
    type: n.QUIC_EVENT_STREAM_MAX_STREAM,
    happens: (sockets) => {
      endStreams(sockets, 0);
      endStreams(sockets, 2);
    },
    told: ({ client }) => [[client, [u64(4 * 149), u64(4 * 149 + 2)]]],
  },
  {
    what: "CONNECTION_MIGRATION: 1 for who moves, 0 for the peer",
    type: n.QUIC_EVENT_CONNECTION_MIGRATION,
    happens: ({ pair }) => {
      const elsewhere = simAddress(10, 0, 0, 9, 40_009);
      pair.clientAddresses.push(elsewhere);
      const target = { socket: 1, local: new Int32Array(10), isIpv4: true, force: false };
      assert.equal(pair.clientConn.migrate(target, pair.nowMicros), null);
      pair.advance(SECOND);
    },
    told: ({ client, server }) => [
      [client, [Uint8Array.of(1)]],
      [server, [Uint8Array.of(0)]],
    ],
  },
  {
    what: "KEY_UPDATE: the phase of the peer's new keys",
    type: n.QUIC_EVENT_KEY_UPDATE,
    happens: ({ client }) => {
      assert.equal(setOption(client, n.QUIC_SOCKOPT_KEY_UPDATE, new Uint8Array(0)), 0);
      send(client, "x", 2, NEW);
    },
    told: ({ server }) => [[server, [Uint8Array.of(1)]]],
  },
  {
    what: "NEW_TOKEN: its bytes",
    type: n.QUIC_EVENT_NEW_TOKEN,
    happens: ({ pair }) => {
      pair.serverConn?.control.sendNewToken(text("token"));
      pair.serverConn?.host.schedule(pair.serverConn);
    },
    told: ({ client }) => [[client, [text("token")]]],
  },
  {
    what: "NEW_SESSION_TICKET: the TLS message",
    type: n.QUIC_EVENT_NEW_SESSION_TICKET,
    happens: ({ client }) => client.onTicket(text("ticket")),
    told: ({ client }) => [[client, [text("ticket")]]],
  },
  {
    what: "CONNECTION_ID of the source: which is the lowest that is left",
    type: n.QUIC_EVENT_CONNECTION_ID,
    happens: ({ client }) =>
      setOption(client, n.QUIC_SOCKOPT_CONNECTION_ID, connectionIdInfo.encode({ dest: 0, prior_to: 2 })),
    told: ({ client, server }) => [
      [client, [connectionIdInfo.encode({ dest: 0, active: 2, prior_to: 2 })]],
      [server, [connectionIdInfo.encode({ dest: 1, active: 2, prior_to: 2 })]],
    ],
  },
  {
    what: "CONNECTION_ID of the destination",
    type: n.QUIC_EVENT_CONNECTION_ID,
    happens: ({ client }) =>
      setOption(client, n.QUIC_SOCKOPT_CONNECTION_ID, connectionIdInfo.encode({ dest: 1, prior_to: 1 })),
    told: ({ client, server }) => [
      [client, [connectionIdInfo.encode({ dest: 1, active: 1, prior_to: 1 })]],
      [server, [connectionIdInfo.encode({ dest: 0, active: 1, prior_to: 1 })]],
    ],
  },
];

function turn(sock: QuicSock, type: number, on: number): void {
  assert.equal(setOption(sock, n.QUIC_SOCKOPT_EVENT, eventOption.encode({ type, on })), 0);
}

/** Events that wait, as text, in order of their text: those of several streams have no order. */
function events(sock: QuicSock): string[] {
  const found: string[] = [];
  while (sock.list.firstEvent() !== null) found.push(receive(sock).data.join(" "));
  return found.sort();
}

describe("notification cases 1-30", () => {
  for (const [at, { what, type, happens, told }] of CASES.entries()) {
    const run = (sockets: SocketPair): void => {
      happens(sockets);
      sockets.pair.advance(SECOND);
    };

    test(`${3 * at + 1} ${what}: not told before it is switched on`, () => {
      const sockets = new SocketPair();
      run(sockets);
      assert.deepEqual([events(sockets.client), events(sockets.server)], [[], []]);
    });

    test(`${3 * at + 2} ${what}`, () => {
      const sockets = new SocketPair();
      const expected = told(sockets);
      for (const [sock] of expected) turn(sock, type, 1);
      run(sockets);
      for (const [sock, payloads] of expected) {
        assert.deepEqual(events(sock), payloads.map((payload) => [type, ...payload].join(" ")).sort());
      }
    });

    test(`${3 * at + 3} ${what}: not told when it was switched off`, () => {
      const sockets = new SocketPair();
      for (const on of [1, 0]) for (const [sock] of told(sockets)) turn(sock, type, on);
      run(sockets);
      assert.deepEqual([events(sockets.client), events(sockets.server)], [[], []]);
    });
  }
});
