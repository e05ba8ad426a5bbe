/** Sessions that move: `ext.migrate`, preferred addresses and what is told of them, over the loopback. */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { buffer } from "node:stream/consumers";
import { describe, test } from "node:test";
import { openSession } from "#src/api/net/index.js";
import type { QuicSession } from "#src/api/quic/index.js";
import {
  type Bench,
  content,
  echo,
  nextStream,
  quicError,
  readAll,
  sha256,
  testCa,
  until,
  withBench,
} from "./support.js";
import { freeUdpPort } from "../support/ports.js";

const MIB = 1024 * 1024;
/** An endpoint of its own, so that its sockets are the session's alone. */
const OWN = { endpoint: { address: "127.0.0.1:0" } };

type Told = [
  result: string,
  newLocal: string,
  newRemote: string,
  oldLocal: string,
  oldRemote: string,
  preferred: boolean,
];

/** What `onpathvalidation` is called with. */
function listenTo(session: QuicSession): Told[] {
  const told: Told[] = [];
  session.onpathvalidation = (result, ...rest) => {
    const [newLocal, newRemote, oldLocal, oldRemote, preferred] = rest;
    told.push([
      result,
      ...([newLocal, newRemote, oldLocal, oldRemote].map(text) as [string, string, string, string]),
      preferred,
    ]);
  };
  return told;
}

function text({ address, port }: { address: string; port: number }): string {
  return `${address}:${port}`;
}

/** Whether nobody has the port. */
function isFree(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.once("error", () => socket.close(() => resolve(false)));
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve(true)));
  });
}

/** Moves in the middle of 8 MiB that come back; returns the session. */
async function moveMidway(bench: Bench, server: string, move: { address?: string; port?: number; force?: boolean }) {
  const pair = await bench.pair({ endpoint: { address: server } }, server === "127.0.0.1:0" ? OWN : {}, echo);
  const { client } = pair;
  const told = { client: listenTo(client), server: listenTo(pair.server) };
  const before = client.path as NonNullable<typeof client.path>;
  const bytes = content(8 * MIB);
  const stream = await client.createBidirectionalStream({ body: bytes });
  const received = readAll(stream);
  await until(() => client.ext.stats().streamBytesReceived > MIB);
  const path = await client.ext.migrate(move);
  assert.equal(sha256(await received), sha256(bytes));
  await until(() => told.server.length > 0);
  return { ...pair, before, path, told };
}

describe("a session that moves", () => {
  for (const [what, server, move] of [
    ["another port", "127.0.0.1:0", {}],
    ["another address", "127.0.0.1:0", { address: "127.0.0.2" }],
    ["another address, at once", "127.0.0.1:0", { address: "127.0.0.3", force: true }],
    ["another port of IPv6", "[::1]:0", {}],
  ] as const) {
    test(
      `${what}: 8 MiB go on both ways, and both ends see the new path`,
      withBench(async (bench) => {
        const { client, server: other, before, path, told } = await moveMidway(bench, server, move);
        assert.deepEqual(client.path, path);
        assert.notEqual(path.local.port, before.local.port);
        if ("address" in move) assert.equal(path.local.address, move.address);
        assert.deepEqual(path.remote, before.remote);
        assert.equal(other.path?.remote.port, path.local.port);
        assert.equal(told.client.length, 1);
        const [result, newLocal, newRemote, , oldRemote, preferred] = told.client[0];
        assert.deepEqual(
          [result, newLocal, newRemote, oldRemote, preferred],
          ["success", text(path.local), text(path.remote), text(before.remote), false],
        );
        assert.equal(told.server[0][0], "success");
        assert.equal(told.server[0][2].split(":").at(-1), String(path.local.port));
      }),
    );
  }

  test(
    "an address that was left is given back; the endpoint keeps its own",
    withBench(async (bench) => {
      const { client } = await bench.pair({}, OWN, echo);
      const own = client.endpoint?.address?.port as number;
      const first = await client.ext.migrate({ address: "127.0.0.2" });
      await client.ext.migrate({ address: "127.0.0.3" });
      const left = first.local.port;
      await until(() => client.ext.stats().pathMoves === 2);
      let free = false;
      for (let i = 0; i < 2000 && !free; i++) {
        free = await isFree("127.0.0.2", left);
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      assert.equal(free, true, "three PTOs after it was left");
      assert.equal(await isFree("127.0.0.1", own), false);
      const stream = await client.createBidirectionalStream({ body: "hello" });
      assert.equal((await readAll(stream)).toString(), "hello");
    }),
  );

  test(
    "right after connect it waits for the end of the handshake; a named port is taken",
    withBench(async (bench) => {
      const endpoint = await bench.serve(echo);
      const client = await bench.connect(endpoint, OWN);
      const port = await freeUdpPort("127.0.0.2");
      const { local } = await client.ext.migrate({ address: "127.0.0.2", port });
      assert.equal(text(local), `127.0.0.2:${port}`);
    }),
  );

  test(
    "what cannot be is refused with a code, and changes nothing",
    withBench(async (bench) => {
      const { client, server } = await bench.pair({}, OWN, echo);
      const before = client.path;
      await assert.rejects(server.ext.migrate(), { code: "ERR_INVALID_STATE" });
      await assert.rejects(client.ext.migrate({ address: "localhost" }), { code: "ERR_INVALID_ARG_VALUE" });
      await assert.rejects(client.ext.migrate({ port: 70_000 }), { code: "ERR_INVALID_ARG_VALUE" });
      await assert.rejects(client.ext.migrate({ adress: "::1" } as object), { code: "ERR_INVALID_ARG_VALUE" });
      await assert.rejects(client.ext.migrate({ address: "192.0.2.1" }), { code: "EADDRNOTAVAIL" });
      const otherFamily = await quicError(client.ext.migrate({ address: "::1" }));
      assert.equal(otherFamily.code, "ERR_NETQUIC_MIGRATION_REFUSED");
      const aborted = AbortSignal.abort(new Error("no"));
      await assert.rejects(client.ext.migrate({ signal: aborted }), /no/);
      assert.deepEqual(client.path, before);
      client.destroy();
      await assert.rejects(client.ext.migrate(), { code: "ERR_INVALID_STATE" });
    }),
  );

  test(
    "a move of a session that ends, or whose signal aborts, ends with it",
    withBench(async (bench) => {
      const { client, server } = await bench.pair({}, OWN);
      server.destroy();
      const controller = new AbortController();
      const first = client.ext.migrate({ signal: controller.signal });
      controller.abort(new Error("enough"));
      await assert.rejects(first, /enough/);
      const second = client.ext.migrate();
      client.destroy(new Error("over"));
      await assert.rejects(second);
    }),
  );
});

describe("a server's preferred address", () => {
  for (const [family, address, transportParams, remote] of [
    ["IPv4", "127.0.0.1:0", { preferredAddressIpv4: "127.0.0.2:0" }, "127.0.0.2"],
    ["IPv6", "[::1]:0", { preferredAddressIpv4: "127.0.0.2:0", preferredAddressIpv6: "[::1]:0" }, "::1"],
  ] as const) {
    test(
      `${family}: a client that uses it is there soon, and the session goes on`,
      withBench(async (bench) => {
        const { client, server, endpoint } = await bench.pair(
          { endpoint: { address }, transportParams },
          { preferredAddressPolicy: "use" },
          echo,
        );
        const told = listenTo(client);
        await until(() => client.path?.remote.port !== endpoint.address?.port);
        assert.equal(client.path?.remote.address, remote);
        await until(() => told.length === 1);
        assert.deepEqual([told[0][0], told[0][5]], ["success", true]);
        const stream = await client.createBidirectionalStream({ body: content(MIB) });
        assert.equal(sha256(await readAll(stream)), sha256(content(MIB)));
        await until(() => server.path?.local.port === client.path?.remote.port);
        assert.equal(server.path?.local.address, remote);
      }),
    );
  }

  for (const [to, address, transportParams, remote] of [
    ["IPv6", "127.0.0.1:0", { preferredAddressIpv6: "[::1]:0" }, "::1"],
    ["IPv4", "[::1]:0", { preferredAddressIpv4: "127.0.0.1:0" }, "127.0.0.1"],
  ] as const) {
    test(
      `RFC 9000 §9.6 only one of ${to}: a client of the other family takes a socket for it, unless it has bound an address`,
      withBench(async (bench) => {
        const clients = { preferredAddressPolicy: "use" } as const;
        const server = { endpoint: { address }, transportParams };
        const bound = await bench.pair(server, { ...clients, endpoint: { address } }, echo);
        const { client, server: other, endpoint } = await bench.pair(server, clients, echo);
        await until(() => client.path?.remote.address === remote);
        const stream = await client.createBidirectionalStream({ body: content(MIB) });
        assert.equal(sha256(await readAll(stream)), sha256(content(MIB)));
        await until(() => other.path?.local.address === remote);
        assert.notEqual(client.path?.remote.port, endpoint.address?.port);
        assert.equal(client.ext.stats().pathMoves, 1);
        const there = await bound.client.createBidirectionalStream({ body: "stays" });
        assert.equal((await readAll(there)).toString(), "stays");
        assert.equal(bound.client.ext.stats().pathMoves, 0);
      }),
    );
  }

  test(
    "netquic/net: its sessions go to one of the other family, too",
    withBench(async (bench) => {
      const transportParams = { preferredAddressIpv6: "[::1]:0" };
      const server = await bench.serve(echo, { alpn: ["netquic-net"], transportParams });
      const { address: host = "", port = 0 } = server.address ?? {};
      const quic = { preferredAddressPolicy: "use" } as const;
      const session = await openSession({ host, port, ca: testCa().cert, quic });
      const socket = session.connect();
      await until(() => socket.remoteAddress === "::1");
      const bytes = content(MIB);
      const [back] = await Promise.all([
        buffer(socket),
        new Promise((resolve) => socket.end(bytes, () => resolve(null))),
      ]);
      assert.equal(sha256(back), sha256(bytes));
      session.close();
    }),
  );

  test(
    "a client that says nothing of it stays",
    withBench(async (bench) => {
      const transportParams = { preferredAddressIpv4: "127.0.0.2:0" };
      const { client, endpoint } = await bench.pair({ transportParams }, {}, echo);
      const stream = await client.createBidirectionalStream({ body: "hello" });
      assert.equal((await readAll(stream)).toString(), "hello");
      assert.equal(client.path?.remote.port, endpoint.address?.port);
      assert.equal(client.ext.stats().pathMoves, 0);
    }),
  );

  test(
    "what cannot be preferred is refused, by its option's name or the system",
    withBench(async (bench) => {
      const serve = (preferredAddressIpv4: string): Promise<unknown> =>
        bench.serve(echo, { transportParams: { preferredAddressIpv4 } });
      for (const wrong of ["[::1]:443", "0.0.0.0:443", "example.org:443"]) {
        await assert.rejects(serve(wrong), { code: "ERR_INVALID_ARG_VALUE", message: /preferredAddressIpv4/ });
      }
      await assert.rejects(serve("192.0.2.1:443"), { code: "EADDRNOTAVAIL" });
      const endpoint = await bench.serve(echo);
      const transportParams = { preferredAddressIpv4: "127.0.0.2:443" };
      await assert.rejects(bench.connect(endpoint, { transportParams } as object), { code: "ERR_INVALID_ARG_VALUE" });
    }),
  );

  test(
    "a stream that the server opens reaches a client that has gone there",
    withBench(async (bench) => {
      const transportParams = { preferredAddressIpv4: "127.0.0.2:0" };
      const { client, server, endpoint } = await bench.pair({ transportParams }, { preferredAddressPolicy: "default" });
      await until(() => client.path?.remote.port !== endpoint.address?.port);
      const incoming = nextStream(client);
      await server.createUnidirectionalStream({ body: "from there" });
      assert.equal((await readAll(await incoming)).toString(), "from there");
    }),
  );
});
