/**
 * The handshake group of the kernel's selftest by its names, over real UDP, and the functional program once with pre-shared
 * keys and once with certificates.
 */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { afterEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileOf } from "#src/api/socket/descriptors.js";
import * as quic from "#src/api/socket/index.js";
import type { Connection } from "#src/conn/connection.js";
import { RawPeer } from "../raw/peer.js";
import { freeUdpPort } from "../support/ports.js";
import {
  CLIENT,
  closeLeftovers,
  config,
  connecting,
  echoes,
  hasCode,
  HOST,
  listening,
  live,
  type Live,
  type LiveOptions,
  params,
  portOf,
  SERVER,
} from "./live.js";

afterEach(closeLeftovers);

const { structs } = quic;

function connOf(sd: number): Connection {
  const { conn } = fileOf(sd, "test");
  assert.ok(conn !== null);
  return conn;
}

async function works(options: LiveOptions, look: (both: Live) => void = () => {}): Promise<void> {
  await live(options, async (both) => {
    assert.ok(await echoes(both, "handshake"));
    look(both);
  });
}

describe("handshake group", () => {
  test("Retry: validate_peer_address", () =>
    works({ server: [config({ validate_peer_address: 1 })] }, ({ client }) => {
      assert.ok(connOf(client).retryScid !== null);
    }));

  test("without validate_peer_address there is none", () =>
    works({}, ({ client }) => assert.equal(connOf(client).retryScid, null)));

  test("version 2, chosen by the server's config", () =>
    works({ server: [config({ version: quic.QUIC_VERSION_V2 })] }, ({ client, server }) => {
      for (const sd of [client, server]) assert.equal(connOf(sd).versions.current, quic.QUIC_VERSION_V2);
    }));

  test("Version Negotiation: a client of version 123", () =>
    works({ client: [config({ version: 123 })] }, ({ client, server }) => {
      for (const sd of [client, server]) assert.equal(connOf(sd).versions.current, quic.QUIC_VERSION_V2, "the highest");
    }));

  test("preferred address: the client goes there after the handshake", async () => {
    const port = await freeUdpPort(HOST);
    const row = new Int32Array(10);
    row.set([0, 0, 0xffff, 0x7f000001, port]);
    const serverHandshake = async (sd: number): Promise<void> => {
      quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONNECTION_MIGRATION, quic.sockaddrOfRow(row));
      await quic.quic_server_handshake(sd, SERVER);
    };
    await live({ serverHandshake }, async (both) => {
      assert.ok(await echoes(both, "before"));
      while (quic.getpeername(both.client).port !== port) await sleep(2);
      assert.ok(await echoes(both, "there"));
    });
  });

  test("no 1-RTT encryption, when both sides ask for that", async () => {
    const clear = [params({ disable_1rtt_encryption: 1 })];
    for (const [client, server, expected] of [
      [clear, clear, true],
      [clear, [], false],
      [[], clear, false],
    ] as const) {
      await works({ client, server }, (both) => {
        for (const sd of [both.client, both.server]) assert.equal(connOf(sd).stats().plaintext, expected);
      });
    }
  });

  for (const [name, type, suite] of [
    ["AES-256-GCM", quic.TLS_CIPHER_AES_GCM_256, "TLS_AES_256_GCM_SHA384"],
    ["AES-128-CCM", quic.TLS_CIPHER_AES_CCM_128, "TLS_AES_128_CCM_SHA256"],
    ["ChaCha20", quic.TLS_CIPHER_CHACHA20_POLY1305, "TLS_CHACHA20_POLY1305_SHA256"],
  ] as const) {
    test(name, () =>
      works({ client: [config({ payload_cipher_type: type })] }, ({ client, server }) => {
        for (const sd of [client, server]) assert.equal(connOf(sd).handshake?.cipher, suite);
      }),
    );
  }

  test("ALPN: a choice among three listeners", async () => {
    const names = ["quic", "fake", "http3"];
    const listeners = [await listening("quic")];
    const port = portOf(listeners[0] as number);
    for (const name of names.slice(1)) listeners.push(await listening(name, [], port));
    for (const [i, name] of names.entries()) {
      const client = await connecting(port, name);
      const accepting = quic.promises.accept(listeners[i] as number);
      const [child] = await Promise.all([
        accepting.then(async (sd) => {
          await quic.quic_server_handshake(sd, SERVER);
          return sd;
        }),
        quic.quic_client_handshake(client, CLIENT),
      ]);
      const chosen = quic.getsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN);
      assert.equal(String(Buffer.from(chosen)), name);
      for (const sd of [client, child]) quic.close(sd);
      for (const sd of listeners) assert.throws(() => quic.accept(sd), hasCode("EAGAIN"));
    }
    for (const sd of listeners) quic.close(sd);
  });

  test("a broken ClientHello is no connection, and disturbs no other", async () => {
    const listener = await listening("sample");
    const withoutAlpn = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    await quic.bind(withoutAlpn, { address: HOST, port: 0 });
    await quic.listen(withoutAlpn, 16);
    const udp = createSocket("udp4");
    for (const break_ of [(hello: Buffer) => hello.fill(0xff, 4), (hello: Buffer) => hello.fill(0, 0)]) {
      const peer = new RawPeer(false, { client: { edit: (_, bytes) => break_(bytes) } });
      const ports = [portOf(listener), portOf(withoutAlpn)];
      peer.wire = { send: (datagram) => ports.forEach((port) => udp.send(datagram, port, HOST)) };
      peer.hello();
    }
    await sleep(30);
    for (const sd of [listener, withoutAlpn]) assert.equal(quic.poll(sd), 0);
    udp.close();
    quic.close(withoutAlpn);
    const client = await connecting(portOf(listener), "sample");
    const handshake = quic.quic_client_handshake(client, CLIENT);
    const server = await quic.promises.accept(listener);
    await Promise.all([handshake, quic.quic_server_handshake(server, SERVER)]);
    for (const sd of [client, server, listener]) quic.close(sd);
  });

  test("datagrams of 1,400 bytes", () => {
    const enabled = [params({ max_datagram_frame_size: 1400 })];
    return live({ client: enabled, server: enabled }, async ({ client, server }) => {
      const data = Buffer.alloc(1400, "d");
      const send = (bytes: number) =>
        quic.sendmsg(client, { data: data.subarray(0, bytes), flags: quic.MSG_QUIC_DATAGRAM });
      assert.throws(() => send(1401), hasCode("EMSGSIZE"));
      const bytes = connOf(client).datagrams.maxBytes;
      assert.equal(send(bytes), bytes);
      const { data: got, flags } = await quic.promises.recvmsg(server, 2000);
      assert.deepEqual([got.length, flags], [bytes, quic.MSG_QUIC_DATAGRAM | quic.MSG_EOR]);
    });
  });
});

const psk = [{ identity: "test", key: Buffer.from("00112233445566778899aabbccddeeff", "hex") }];
const ways: [name: string, options: LiveOptions][] = [
  [
    "pre-shared keys",
    {
      clientHandshake: (sd) => quic.quic_client_handshake(sd, { serverName: "", psk }),
      serverHandshake: (sd) => quic.quic_server_handshake(sd, { psk }),
    },
  ],
  ["certificates", {}],
];

const { MSG_QUIC_STREAM_FIN: FIN, MSG_QUIC_STREAM_NEW: NEW, MSG_QUIC_STREAM_UNI: UNI } = quic;

function sends(sd: number, text: string, stream_id: number, stream_flags: number): Promise<number> {
  return quic.promises.sendmsg(sd, { data: Buffer.from(text), flags: 0, stream: { stream_id, stream_flags } });
}

function listens(sd: number, type: number): void {
  quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_EVENT, structs.eventOption.encode({ type, on: 1 }));
}

async function nextEvent(sd: number, type: number): Promise<Uint8Array> {
  const { data, flags } = await quic.promises.recvmsg(sd, 200);
  assert.deepEqual([flags & quic.MSG_QUIC_NOTIFICATION, data[0]], [quic.MSG_QUIC_NOTIFICATION, type]);
  return data.subarray(1);
}

describe("func group: the program", () => {
  for (const [name, options] of ways) {
    const enabled = [params({ max_datagram_frame_size: 1400 })];
    const program = { ...options, client: enabled, server: enabled };

    test(`with ${name}: streams`, () =>
      live(program, async ({ client, server }) => {
        await assert.rejects(sends(client, "not open", 0, 0), hasCode("EINVAL"));
        assert.equal(await sends(client, "ahead", 4, NEW | FIN), 5);
        const ids = [];
        for (const flags of [NEW, NEW | UNI]) {
          const open = structs.streamInfo.encode({ stream_id: -1, stream_flags: flags });
          const value = quic.getsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_STREAM_OPEN, open);
          ids.push(structs.streamInfo.decode(value).stream_id);
        }
        assert.deepEqual(ids, [8, 2]);
        await sends(client, "below", 0, FIN);
        await sends(client, "one way", 2, FIN);
        const got = new Map<number, string>();
        while (got.size < 3) {
          const { data, stream } = await quic.promises.recvmsg(server, 100);
          assert.equal(stream?.stream_flags, FIN);
          got.set(stream?.stream_id ?? -1, String(Buffer.from(data)));
        }
        assert.deepEqual([got.get(4), got.get(0), got.get(2)], ["ahead", "below", "one way"]);
        const reset = structs.errInfo.encode({ stream_id: 8, errcode: 7 });
        quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_STREAM_RESET, reset);
        await assert.rejects(sends(client, "after reset", 8, 0), hasCode("EINVAL"));
      }));

    test(`with ${name}: datagrams and keys`, () =>
      live(program, async (both) => {
        const { client, server } = both;
        await quic.promises.sendmsg(client, { data: Buffer.from("d"), flags: quic.MSG_QUIC_DATAGRAM });
        assert.equal((await quic.promises.recvmsg(server, 10)).flags, quic.MSG_QUIC_DATAGRAM | quic.MSG_EOR);
        listens(server, quic.QUIC_EVENT_KEY_UPDATE);
        await sleep(20);
        const none = new Uint8Array(0);
        quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_KEY_UPDATE, none);
        const twice = () => quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_KEY_UPDATE, none);
        assert.throws(twice, hasCode("EINVAL"));
        // they come as soon as RFC 9001 §6.1 allows
        await sends(client, "x", 0, NEW);
        for (let event: quic.InMessage | null = null; event === null; ) {
          await sends(client, "x", 0, 0);
          const message = await quic.promises.recvmsg(server, 100);
          if ((message.flags & quic.MSG_QUIC_NOTIFICATION) !== 0) event = message;
          if (event !== null) assert.deepEqual([...event.data], [quic.QUIC_EVENT_KEY_UPDATE, 1]);
        }
        assert.equal((await quic.promises.recvmsg(server, 100)).stream?.stream_id, 0);
      }));

    test(`with ${name}: events and close`, () =>
      live(program, async ({ client, server }) => {
        for (const type of [quic.QUIC_EVENT_STREAM_UPDATE, quic.QUIC_EVENT_CONNECTION_CLOSE]) listens(server, type);
        await sends(client, "data", 0, NEW);
        const update = structs.streamUpdate.decode(await nextEvent(server, quic.QUIC_EVENT_STREAM_UPDATE));
        assert.deepEqual([update.id, update.state], [0, quic.QUIC_STREAM_RECV_STATE_RECV]);
        assert.equal((await quic.promises.recvmsg(server, 100)).data.length, 4);
        const why = structs.connectionClose.encode({ errcode: 10, phrase: Buffer.from("this is app err") });
        quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONNECTION_CLOSE, why);
        quic.shutdown(client, quic.SHUT_WR);
        const close = structs.connectionClose.decode(await nextEvent(server, quic.QUIC_EVENT_CONNECTION_CLOSE));
        assert.deepEqual(
          [close.errcode, String(Buffer.from(close.phrase)).replace(/\0+$/, "")],
          [10, "this is app err"],
        );
        assert.equal(quic.poll(server) & quic.POLLHUP, quic.POLLHUP);
      }));
  }
});
