/**
 * Programs with a TLS of their own (here the minimal one of test/raw): messages through sendmsg and recvmsg with
 * QUIC_HANDSHAKE_INFO, secrets by CRYPTO_SECRET, tickets at level APP.
 */

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as quic from "#src/api/socket/index.js";
import { fileOf } from "#src/api/socket/descriptors.js";
import { makeRawCertificate } from "../raw/certificate.js";
import { RawTlsClient } from "../raw/tls-client.js";
import { APP, EARLY, HANDSHAKE, INITIAL, type RawTicket, type TlsSink } from "../raw/tls-messages.js";
import { RawTlsServer } from "../raw/tls-server.js";
import {
  echoes,
  closeLeftovers,
  hasCode,
  live,
  type LiveOptions,
  connecting,
  listening,
  portOf,
  SERVER,
} from "./live.js";

afterEach(closeLeftovers);

const { structs } = quic;
/** By level of test/raw. */
const CRYPTO_OF = {
  [INITIAL]: quic.QUIC_CRYPTO_INITIAL,
  [EARLY]: quic.QUIC_CRYPTO_EARLY,
  [HANDSHAKE]: quic.QUIC_CRYPTO_HANDSHAKE,
  [APP]: quic.QUIC_CRYPTO_APP,
};
const FINISHED = 20;
const chain = [makeRawCertificate({ subject: "localhost", hosts: ["localhost"] })];

function cryptoOf(level: number): number {
  return CRYPTO_OF[level as keyof typeof CRYPTO_OF];
}

function secretOption(level: number, direction: "read" | "write", secret: Uint8Array): Uint8Array {
  const send = Number(direction === "write");
  return structs.cryptoSecret.encode({ send, level: cryptoOf(level), type: quic.TLS_CIPHER_AES_GCM_128, secret });
}

/** Gives the socket what TLS says; the key that reads 1-RTT waits for `finish`, because with it the handshake is over. */
class SocketSink implements TlsSink {
  private last: Uint8Array | null = null;
  readonly sent: number[] = [];

  constructor(
    private readonly sd: number,
    private readonly flags: (level: number, type: number) => number = () => 0,
  ) {}

  send(level: number, bytes: Buffer): void {
    this.sent.push(bytes[0] as number);
    const handshake = { crypto_level: cryptoOf(level) };
    assert.equal(
      quic.sendmsg(this.sd, { data: bytes, flags: this.flags(level, bytes[0] as number), handshake }),
      bytes.length,
    );
  }

  secret(level: number, direction: "read" | "write", secret: Buffer): void {
    const value = secretOption(level, direction, secret);
    if (level === APP && direction === "read") this.last = value;
    else quic.setsockopt(this.sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CRYPTO_SECRET, value);
  }

  finish(): void {
    assert.ok(this.last !== null);
    quic.setsockopt(this.sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CRYPTO_SECRET, this.last);
  }
}

function paramsOf(sd: number): Buffer {
  return Buffer.from(quic.getsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_TRANSPORT_PARAM_EXT));
}

async function pump(sd: number, tls: RawTlsClient | RawTlsServer): Promise<void> {
  while (!tls.done) {
    const { data, handshake, flags } = await quic.promises.recvmsg(sd, 65_536);
    assert.ok(handshake !== undefined && (flags & quic.MSG_EOR) !== 0);
    const level = Number(Object.entries(CRYPTO_OF).find(([, crypto]) => crypto === handshake.crypto_level)?.[0]);
    tls.receive(level, data);
  }
}

async function ownClient(sd: number): Promise<void> {
  const sink = new SocketSink(sd);
  const tls = new RawTlsClient({ alpn: ["sample"], serverName: "localhost", params: paramsOf(sd) }, sink);
  tls.start();
  await pump(sd, tls);
  sink.finish();
}

/** The server's flight in one datagram: SERVER_HELLO to FINISHED, with MSG_MORE until the last. */
async function ownServer(sd: number): Promise<RawTlsServer> {
  const sink = new SocketSink(sd, (level, type) => (level === APP || type === FINISHED ? 0 : quic.MSG_MORE));
  const tls = new RawTlsServer({ chain, params: () => paramsOf(sd), tickets: new Map() }, sink);
  await pump(sd, tls);
  sink.finish();
  return tls;
}

function both(options: LiveOptions = {}): LiveOptions {
  return { clientHandshake: ownClient, serverHandshake: async (sd) => void (await ownServer(sd)), ...options };
}

describe("a program with its own TLS", () => {
  test("does the handshake at both ends, and says the alert that ends one", () =>
    live(both(), async (sides) => assert.ok(await echoes(sides, "own TLS"))));

  test("a server's ticket at level APP is the client's SESSION_TICKET and event; later ones are dropped", () => {
    let tls: RawTlsServer | null = null;
    const serverHandshake = async (sd: number): Promise<void> => {
      tls = await ownServer(sd);
    };
    return live(both({ serverHandshake }), async (sides) => {
      const wanted = structs.eventOption.encode({ type: quic.QUIC_EVENT_NEW_SESSION_TICKET, on: 1 });
      quic.setsockopt(sides.client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_EVENT, wanted);
      const ticket = () => quic.getsockopt(sides.client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_SESSION_TICKET);
      assert.equal(ticket().length, 0);
      assert.ok(tls !== null);
      tls.sendTicket();
      const event = await quic.promises.recvmsg(sides.client, 65_536);
      assert.deepEqual([event.data[0], event.data[1]], [quic.QUIC_EVENT_NEW_SESSION_TICKET, 4]);
      assert.deepEqual(ticket(), event.data.slice(1));
      tls.sendTicket();
      assert.ok(await echoes(sides, "after the second ticket"));
      assert.deepEqual(ticket(), event.data.slice(1));
      assert.throws(() => quic.recvmsg(sides.client, 1), hasCode("EAGAIN"));
    });
  });

  test("MSG_MORE holds a flight back until its last message, whatever secrets come meanwhile", () => {
    let isReleased = false;
    return live(
      {
        clientHandshake: async (sd) => {
          const sink = new SocketSink(sd);
          const tls = new RawTlsClient({ alpn: ["sample"], serverName: "localhost", params: paramsOf(sd) }, sink);
          tls.start();
          while ((quic.poll(sd) & quic.POLLIN) === 0) await sleep(2);
          assert.ok(isReleased, "a message of the server's came before its last one");
          await pump(sd, tls);
          sink.finish();
        },
        serverHandshake: async (sd) => {
          let last: Buffer = Buffer.alloc(0);
          const sink = new SocketSink(sd, () => quic.MSG_MORE);
          const edit = (type: number, bytes: Buffer): Buffer => {
            if (type === FINISHED) last = bytes;
            return bytes;
          };
          const send = sink.send.bind(sink);
          sink.send = (level, bytes) => (bytes === last ? undefined : send(level, bytes));
          const tls = new RawTlsServer({ chain, params: () => paramsOf(sd), edit }, sink);
          tls.receive(INITIAL, (await quic.promises.recvmsg(sd, 65_536)).data);
          await sleep(40);
          isReleased = true;
          quic.sendmsg(sd, { data: last, flags: 0, handshake: { crypto_level: quic.QUIC_CRYPTO_HANDSHAKE } });
          await pump(sd, tls);
          sink.finish();
        },
      },
      async (sides) => assert.ok(await echoes(sides, "held")),
    );
  });

  test("levels without keys, EARLY and beyond are EINVAL; an empty message EMSGSIZE; recv cannot tell levels", () =>
    live(
      both({
        serverHandshake: async (sd) => {
          const send = (crypto_level: number, bytes = 1) =>
            quic.sendmsg(sd, { data: new Uint8Array(bytes), flags: 0, handshake: { crypto_level } });
          for (const level of [quic.QUIC_CRYPTO_HANDSHAKE, quic.QUIC_CRYPTO_APP, quic.QUIC_CRYPTO_EARLY, 4, 255]) {
            assert.throws(() => send(level), hasCode("EINVAL"), `level ${level}`);
          }
          assert.throws(() => send(quic.QUIC_CRYPTO_INITIAL, 0), hasCode("EMSGSIZE"));
          assert.throws(() => quic.recv(sd, 65_536), hasCode("EINVAL"));
          const secret = new Uint8Array(32);
          const set = (value: Uint8Array) => quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CRYPTO_SECRET, value);
          assert.throws(() => set(secretOption(INITIAL, "write", secret)), hasCode("EINVAL"));
          assert.throws(() => set(structs.cryptoSecret.encode({ level: 2, type: 50, secret })), hasCode("EINVAL"));
          await ownServer(sd);
          assert.throws(() => set(secretOption(APP, "write", secret)), hasCode("EINVAL"), "ESTABLISHED");
        },
      }),
      async (sides) => assert.ok(await echoes(sides, "after all")),
    ));

  test("0-RTT with what the program kept: the ticket's key, and the server's parameters by TRANSPORT_PARAM with remote 1", async () => {
    const listener = await listening("sample", [], 0, { earlyData: true });
    const remote = structs.transportParam.encode({ remote: 1 });
    const begin = async (ticket?: RawTicket): Promise<[sd: number, tls: RawTlsClient, sink: SocketSink]> => {
      const sd = await connecting(portOf(listener), "sample");
      const sink = new SocketSink(sd);
      const own = { alpn: ["sample"], serverName: "localhost", params: paramsOf(sd), early: ticket !== undefined };
      return [sd, new RawTlsClient({ ...own, ...(ticket !== undefined && { ticket }) }, sink), sink];
    };
    const serve = async (): Promise<number> => {
      const sd = await quic.promises.accept(listener);
      await quic.quic_server_handshake(sd, SERVER);
      return sd;
    };
    const [first, firstTls, firstSink] = await begin();
    const serving = serve();
    firstTls.start();
    await pump(first, firstTls);
    firstSink.finish();
    const kept = quic.getsockopt(first, quic.SOL_QUIC, quic.QUIC_SOCKOPT_TRANSPORT_PARAM, remote);
    while (firstTls.tickets.length === 0) {
      firstTls.receive(APP, quic.getsockopt(first, quic.SOL_QUIC, quic.QUIC_SOCKOPT_SESSION_TICKET));
      await sleep(2);
    }
    for (const sd of [first, await serving]) quic.close(sd);

    const [client, tls, sink] = await begin(firstTls.tickets[0] as RawTicket);
    quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_TRANSPORT_PARAM, kept);
    tls.start();
    const stream = { stream_id: 0, stream_flags: quic.MSG_QUIC_STREAM_NEW | quic.MSG_QUIC_STREAM_FIN };
    assert.equal(quic.sendmsg(client, { data: Buffer.from("early"), flags: 0, stream }), 5);
    const servingAgain = serve();
    await pump(client, tls);
    sink.finish();
    const server = await servingAgain;
    assert.equal(String(Buffer.from((await quic.promises.recvmsg(server, 10)).data)), "early");
    assert.deepEqual([tls.resumed, tls.earlyAccepted], [true, true]);
    assert.ok((fileOf(server, "test").conn?.stats().earlyPacketsReceived ?? 0) > 0);
    const late = () => quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_TRANSPORT_PARAM, kept);
    assert.throws(late, hasCode("EINVAL"));
    for (const sd of [client, server, listener]) quic.close(sd);
  });
});
