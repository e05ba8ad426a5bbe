/** 0-RTT with real TLS over real UDP: requests before the handshake, refusals that nobody notices, replays. */

import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ConnectOptions, ListenOptions, QuicEndpoint, QuicSession, QuicStream } from "#src/api/quic/index.js";
import { type Bench, readAll, until, withBench } from "./support.js";

const SECRET = new Uint8Array(32).fill(9);

interface Server {
  endpoint: QuicEndpoint;
  /** `stream.early` of each request, and what it said. */
  requests: { early: boolean; text: string }[];
}

/** Answers each request with its own text. */
async function serve(bench: Bench, options: ListenOptions = {}): Promise<Server> {
  const requests: Server["requests"] = [];
  const onstream = async (stream: QuicStream): Promise<void> => {
    const bytes = await readAll(stream);
    requests.push({ early: stream.early, text: Buffer.from(bytes).toString() });
    stream.setBody(bytes);
  };
  const endpoint = await bench.serve((session) => {
    session.onstream = onstream;
  }, options);
  return { endpoint, requests };
}

async function ticketOf(bench: Bench, endpoint: QuicEndpoint): Promise<Uint8Array> {
  let ticket: Uint8Array | undefined;
  const session = await bench.connect(endpoint, { onsessionticket: (bytes) => void (ticket ??= bytes) });
  await until(() => ticket !== undefined);
  await session.close();
  return ticket as Uint8Array;
}

async function request(session: QuicSession, text: string): Promise<string> {
  const stream = await session.createBidirectionalStream({ body: text });
  return Buffer.from(await readAll(stream)).toString();
}

/** Connects and asks before the handshake. */
async function ask(bench: Bench, endpoint: QuicEndpoint, sessionTicket: Uint8Array, options: ConnectOptions = {}) {
  let rejections = 0;
  const session = await bench.connect(endpoint, { sessionTicket, onearlyrejected: () => rejections++, ...options });
  const answer = await request(session, "early?");
  const { earlyDataAttempted: attempted, earlyDataAccepted: accepted } = await session.opened;
  return { session, answer, attempted, accepted, rejections };
}

describe("0-RTT", () => {
  test(
    "RFC 9001 §4.6 a request goes with the first packets and is marked; the next one is not",
    withBench(async (bench) => {
      const { endpoint, requests } = await serve(bench);
      const asked = await ask(bench, endpoint, await ticketOf(bench, endpoint));
      assert.deepEqual([asked.attempted, asked.accepted, asked.rejections], [true, true, 0]);
      assert.equal(asked.answer, "early?");
      assert.ok(asked.session.ext.stats().earlyPacketsSent > 0);
      assert.equal(await request(asked.session, "later"), "later");
      assert.deepEqual(requests, [
        { early: true, text: "early?" },
        { early: false, text: "later" },
      ]);
    }),
  );

  test(
    "RFC 8446 §8.1 a ticket that was used is refused for it, and the request arrives all the same, once",
    withBench(async (bench) => {
      const { endpoint, requests } = await serve(bench);
      const ticket = await ticketOf(bench, endpoint);
      await ask(bench, endpoint, ticket);
      const again = await ask(bench, endpoint, ticket);
      assert.deepEqual([again.attempted, again.accepted, again.rejections], [true, false, 1]);
      assert.equal(again.session.ext.runtime.resumed, true);
      assert.equal(again.answer, "early?");
      assert.deepEqual(
        requests.map(({ early }) => early),
        [true, false],
      );
    }),
  );

  test(
    "either side may switch it off, and then nothing is attempted",
    withBench(async (bench) => {
      const { endpoint } = await serve(bench);
      const off = await ask(bench, endpoint, await ticketOf(bench, endpoint), { enableEarlyData: false });
      assert.deepEqual([off.attempted, off.session.ext.runtime.resumed, off.answer], [false, true, "early?"]);
      const without = await serve(bench, { enableEarlyData: false });
      const refused = await ask(bench, without.endpoint, await ticketOf(bench, without.endpoint));
      assert.deepEqual([refused.attempted, refused.session.ext.runtime.resumed], [false, true]);
    }),
  );

  test(
    "servers of one secret resume each other's sessions, but take 0-RTT with their own tickets only",
    withBench(async (bench) => {
      const options = { endpoint: { ext: { secret: SECRET } } };
      const first = await serve(bench, options);
      const second = await serve(bench, options);
      const stranger = await serve(bench);
      const ticket = await ticketOf(bench, first.endpoint);
      const elsewhere = await ask(bench, second.endpoint, ticket);
      assert.deepEqual([elsewhere.attempted, elsewhere.accepted, elsewhere.answer], [true, false, "early?"]);
      assert.equal(elsewhere.session.ext.runtime.resumed, true);
      const unknown = await ask(bench, stranger.endpoint, ticket);
      assert.deepEqual([unknown.session.ext.runtime.resumed, unknown.answer], [false, "early?"]);
      assert.deepEqual(
        [...second.requests, ...stranger.requests].map(({ early }) => early),
        [false, false],
      );
    }),
  );

  test(
    "RFC 9001 §9.2 a first flight that is sent a hundred times more is handled once",
    withBench(async (bench) => {
      const { endpoint, requests } = await serve(bench);
      const ticket = await ticketOf(bench, endpoint);
      const recorder = await Recorder.start(endpoint);
      bench.later(() => recorder.close());
      const asked = await ask(bench, recorder.face(endpoint), ticket);
      assert.equal(asked.accepted, true);
      const flight = recorder.taken.slice(0, 2);
      await recorder.replay(flight, 50);
      await asked.session.close();
      await until(() => endpoint.stats.serverSessions > 0n);
      await sleep(300); // the closing period
      await recorder.replay(flight, 50);
      await sleep(100);
      assert.deepEqual(requests, [{ early: true, text: "early?" }]);
      assert.equal(await request(await bench.connect(endpoint), "still there"), "still there");
    }),
  );
});

/** A forwarder between a client and a server that keeps what the client sent. */
class Recorder {
  readonly taken: Buffer[] = [];

  private constructor(
    private readonly inside: Socket,
    private readonly outside: Socket,
    private readonly port: number,
  ) {
    let client = 0;
    inside.on("message", (bytes, { port: from }) => {
      client = from;
      this.taken.push(bytes);
      outside.send(bytes, port, "127.0.0.1");
    });
    outside.on("message", (bytes) => inside.send(bytes, client, "127.0.0.1"));
  }

  static async start(endpoint: QuicEndpoint): Promise<Recorder> {
    const sockets = [createSocket("udp4"), createSocket("udp4")] as const;
    for (const socket of sockets) {
      socket.bind(0, "127.0.0.1");
      await once(socket, "listening");
    }
    return new Recorder(sockets[0], sockets[1], endpoint.address?.port ?? 0);
  }

  /** Where clients connect to. */
  face(endpoint: QuicEndpoint): QuicEndpoint {
    return { address: { address: "127.0.0.1", port: this.inside.address().port }, closed: endpoint.closed } as never;
  }

  async replay(flight: Buffer[], times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      for (const bytes of flight) this.outside.send(bytes, this.port, "127.0.0.1");
      if (i % 10 === 9) await sleep(5);
    }
  }

  close(): void {
    this.inside.close();
    this.outside.close();
  }
}
