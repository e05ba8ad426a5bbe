/** Half-open clients of a host: who got an answer is told from who only pretends to be somewhere. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Recipient } from "#src/broker/front.js";
import type { Group } from "#src/broker/group.js";
import type { HandedAttempts } from "#src/broker/handed.js";
import { connect } from "#src/api/quic/index.js";
import { ADDR_COLS, RX_COLS, RX_LEN, RX_OFF, type UdpSocket } from "#src/port/udp.js";
import { RETRY_ABOVE_HALF_OPEN } from "#src/proto/limits.js";
import { newRxBatch } from "#src/runtime/batch.js";
import { nativeUdp } from "#src/runtime/native/udp.js";
import { content, readAll, testCa, withBench } from "../api/support.js";
import { NO_HANDLER, RawProgram, send, shortPacket, udp } from "./raw-program.js";
import { echoAt, open, type TestHost, until } from "./support.js";

/** Of the host's only port. */
function frontOf(host: TestHost): { handed: HandedAttempts<Recipient> } {
  const [group] = host.host["openGroups"];
  return { handed: (group as Group).front["handed"] };
}

/** Clients that have shown no sign of an answer. */
function silentOf(host: TestHost): number {
  return frontOf(host).handed.silentCount;
}

/** What a client sends first. */
async function firstFlight(alpn: string): Promise<Uint8Array[]> {
  const flight: Uint8Array[] = [];
  const rx = newRxBatch();
  const sink: UdpSocket = await nativeUdp.open(
    { address: "127.0.0.1", port: 0 },
    {
      ...NO_HANDLER,
      onReadable() {
        while (sink.recv(rx) > 0) {
          for (let at = 0; at < rx.count * RX_COLS; at += RX_COLS) {
            const off = rx.rows[at + RX_OFF] as number;
            flight.push(rx.buf.slice(off, off + (rx.rows[at + RX_LEN] as number)));
          }
        }
      },
    },
  );
  const session = await connect(`127.0.0.1:${sink.port}`, { alpn, servername: "localhost", reuseEndpoint: false });
  session.closed.catch(() => {});
  session.opened.catch(() => {});
  await until(() => flight.length > 0);
  session.destroy();
  sink.close();
  return flight;
}

describe("half-open clients of a host", () => {
  test("a flood that uses good ids of another connection, each once, is counted: Retry begins at its limit", async () => {
    using host = await open();
    using program = new RawProgram(host);
    const route = await program.hello();
    await program.bind(host.port);
    const wanted = { alpn: ["smbd"], serverNames: [], reusePort: false, retry: false };
    program.say({ op: "listen", id: 2, bind: 1, wanted });
    await program.next("done");
    const flight = await firstFlight("smbd");
    // a long header with an id that the program has made
    const pretend = (): Uint8Array =>
      Buffer.concat([Buffer.of(0xc0, 0, 0, 0, 1, 8), shortPacket(route, "x".repeat(40)).subarray(1)]);
    // all but four are there already, and are not forgotten however long this takes
    const { handed } = frontOf(host);
    const flooding = 4;
    for (let i = 0; i < RETRY_ABOVE_HALF_OPEN - flooding; i++) {
      const never = Uint8Array.of(i >> 8, i);
      handed.add(new Int32Array(ADDR_COLS), never, null as unknown as Recipient, never, Number.MAX_SAFE_INTEGER);
    }
    const from: UdpSocket[] = [];
    for (let i = 0; i <= flooding; i++) from.push(await udp());
    const last = from.pop() as UdpSocket;
    for (const socket of from) for (const datagram of flight) send(socket, host.port, datagram);
    await until(() => host.host.counters.handedOver === flooding);
    const { forwarded } = host.host.counters;
    for (const socket of from) send(socket, host.port, pretend());
    await until(() => host.host.counters.forwarded >= forwarded + flooding);
    assert.equal(silentOf(host), RETRY_ABOVE_HALF_OPEN);
    for (const datagram of flight) send(last, host.port, datagram);
    await until(() => host.host.counters.retriesSent > 0);
    assert.equal(host.host.counters.handedOver, flooding);
    for (const socket of [...from, last]) socket.close();
  });

  for (const validateAddress of [false, true]) {
    test(
      `an honest client is none any more when its handshake is over${validateAddress ? ", with a Retry" : ""}`,
      withBench(async (bench) => {
        using host = await open();
        await echoAt(bench, host, "smbd", { validateAddress });
        for (let i = 0; i < 3; i++) {
          const options = { alpn: "smbd", ca: testCa().cert, servername: "localhost", reuseEndpoint: false };
          const session = await connect(`127.0.0.1:${host.port}`, options);
          bench.later(() => session.destroy());
          await session.opened;
          const stream = await session.createBidirectionalStream({ body: content(1000) });
          assert.ok((await readAll(stream)).length > 1000);
          await until(() => silentOf(host) === 0);
        }
        assert.equal(host.host.counters.handedOver, 3);
      }),
    );
  }

  test(
    "one that the program itself sends a Retry is none any more when it follows",
    withBench(async (bench) => {
      using host = await open();
      await echoAt(bench, host, "smbd", { validateAddress: true });
      const registrations = [...host.host["registry"]["all"]];
      // the host does not know
      for (const registration of registrations) (registration as { retry: boolean }).retry = false;
      const options = { alpn: "smbd", ca: testCa().cert, servername: "localhost", reuseEndpoint: false };
      const session = await connect(`127.0.0.1:${host.port}`, options);
      bench.later(() => session.destroy());
      await session.opened;
      await until(() => silentOf(host) === 0);
      assert.equal(host.host.counters.retriesSent, 0);
    }),
  );
});
