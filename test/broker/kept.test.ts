/** Sockets that programs keep for a host that restarts, and when they give them up. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { HostClient } from "#src/broker/host-client.js";
import type { UdpSocket } from "#src/port/udp.js";
import { NO_HANDLER, RawProgram, send, shortPacket, udp } from "./raw-program.js";
import { TestHost, until } from "./support.js";

/** A program in this process that never keeps it alive. */
async function withClient(work: (host: TestHost, client: HostClient) => Promise<void>): Promise<void> {
  using host = await new TestHost().start();
  const client = await HostClient.connect(host.path);
  try {
    await work(host, client);
  } finally {
    client.close();
  }
}

function openPort(client: HostClient, port = 0): Promise<UdpSocket> {
  return client.provider.open({ address: "127.0.0.1", port }, NO_HANDLER);
}

describe("sockets that a program keeps for the host", () => {
  test("go with its own of that port, which can be opened again then", () =>
    withClient(async (host, client) => {
      const first = await openPort(client);
      await openPort(client);
      const { port } = first;
      await until(() => client["kept"].size === 2);
      first.close();
      await until(() => host.host.places.length === 1);
      assert.equal(client["kept"].size, 1);

      using next = new RawProgram(host);
      const route = await next.hello();
      await next.bind(port);
      const from = await udp();
      // all but short headers come to the first socket of the group: if that were one of before, nobody would read it
      send(from, port, Buffer.concat([Buffer.of(0xc0, 0, 0, 0, 1, 8), shortPacket(route, "first").subarray(1)]));
      await until(() => next.received.includes("first"), 5000);
      from.close();
    }));

  test("are closed also when they arrive after it has left the port", () =>
    withClient(async (host, client) => {
      await openPort(client);
      const { port } = await openPort(client);
      for (let i = 0; i < 8; i++) (await openPort(client, port)).close();
      const last = await openPort(client);
      await until(() => client["kept"].size === 3);
      last.close();
      assert.equal(client["kept"].size, 2);
      await until(() => host.host.places.length === 2);
      assert.equal(client["kept"].size, 2);
    }));
});
