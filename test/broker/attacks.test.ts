/** ROBUSTNESS 4.6: what a program must not be able to do to the host, and to other programs. */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { openSync } from "node:fs";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type QuicSession } from "#src/api/quic/index.js";
import { HostClient } from "#src/broker/host-client.js";
import type { HostUdpSocket } from "#src/broker/host-socket.js";
import { SOCKET_LIMITS } from "#src/broker/link-limits.js";
import { BROKER_VERSION, encode } from "#src/broker/messages.js";
import type { Route } from "#src/broker/route-ids.js";
import { MAX_BROKER_CONNECTIONS } from "#src/proto/limits.js";
import { newRxBatch } from "#src/runtime/batch.js";
import { closeFd, connectUnix, duplicateFd, type UnixSocket } from "#src/runtime/native/unix-socket.js";
import { systemRandom } from "#src/runtime/random.js";
import { content, readAll, testCa, withBench } from "../api/support.js";
import { NO_HANDLER, RawProgram, send, shortPacket, udp } from "./raw-program.js";
import { echoAt, open, type TestHost, until } from "./support.js";

async function ask(session: QuicSession, sent: Uint8Array): Promise<string> {
  const stream = await session.createBidirectionalStream({ body: sent });
  const got = await readAll(stream);
  const colon = got.indexOf(":");
  assert.ok(got.subarray(colon + 1).equals(sent));
  return got.subarray(0, colon).toString();
}

async function clientOf(host: TestHost, alpn: string, more: object = {}): Promise<QuicSession> {
  const options = { alpn, ca: testCa().cert, servername: "localhost", reuseEndpoint: false, ...more };
  const session = await connect(`127.0.0.1:${host.port}`, options);
  await session.opened;
  return session;
}

/** Programs of this process are of another user than the host says that it is. */
const OF_OTHERS = { ownUid: 4_000_000 };

describe("programs of another user", () => {
  test(
    "get their packets by message and send by a socket that hears nothing",
    withBench(async (bench) => {
      using host = await open(OF_OTHERS);
      await echoAt(bench, host, "smbd");
      const session = await clientOf(host, "smbd");
      bench.later(() => session.destroy());
      assert.equal(await ask(session, content(2_000_000)), "smbd");
      assert.ok(host.host.counters.forwarded > 50, `${host.host.counters.forwarded} forwarded`);
    }),
  );

  test(
    "serve clients of both families at a port of both, at once",
    withBench(async (bench) => {
      using host = await open({ ...OF_OTHERS, places: [{ address: "::", port: 0, ipv6Only: false }] });
      await echoAt(bench, host, "smbd", { address: `[::]:${host.port}` });
      const options = { alpn: "smbd", ca: testCa().cert, servername: "localhost", reuseEndpoint: false };
      const sessions = await Promise.all(
        ["127.0.0.1", "[::1]"].map((address) => connect(`${address}:${host.port}`, options)),
      );
      for (const session of sessions) bench.later(() => session.destroy());
      const answers = await Promise.all(sessions.map((session) => ask(session, content(2_000_000))));
      assert.deepEqual(answers, ["smbd", "smbd"]);
    }),
  );

  test("B05 their socket receives nothing, whatever they do to it; their messages hold nothing of others", async () => {
    using host = await open(OF_OTHERS);
    using victim = new RawProgram(host);
    using thief = new RawProgram(host);
    const routes = [await victim.hello(), await thief.hello()];
    await victim.bind(host.port);
    await thief.bind(host.port);
    const from = await udp();
    const canary = "canary".repeat(20);
    for (let i = 0; i < 50; i++) {
      send(from, host.port, shortPacket(routes[0] as Route, canary));
      send(from, host.port, shortPacket(routes[1] as Route, "own"));
      send(from, host.port, Buffer.concat([Buffer.of(0xc0, 0, 0, 0, 1, 8), Buffer.from(canary)]));
    }
    await until(() => victim.received.includes("canary") && thief.received.includes("own"));
    await sleep(50);
    assert.ok(!thief.received.includes("canary"));
    assert.ok(!victim.received.includes("own"));
    from.close();
  });

  for (const address of ["127.0.0.1", "0.0.0.0", "::"]) {
    test(`B05 their sockets may be connected and disconnected: packets to ${address} arrive as before`, async () => {
      using host = await open({ ...OF_OTHERS, places: [{ address, port: 0, ipv6Only: false }] });
      using victim = new RawProgram(host);
      using thief = new RawProgram(host);
      const route = await victim.hello();
      await thief.hello();
      await victim.bind(host.port);
      await thief.bind(host.port);
      assert.equal(thief.fds.length, address === "::" ? 2 : 1);
      const from = await udp();
      const pass = async (text: string): Promise<void> => {
        for (let i = 0; i < 20; i++) send(from, host.port, shortPacket(route, `${text}${i};`));
        await until(() =>
          Array.from({ length: 20 }, (_, i) => `${text}${i};`).every((one) => victim.received.includes(one)),
        );
      };
      await pass("before");
      for (const [at, fd] of thief.fds.entries()) {
        const isIpv4 = at === thief.fds.length - 1;
        const socket = createSocket(isIpv4 ? "udp4" : "udp6");
        socket.unref();
        socket.bind({ fd: duplicateFd(fd) }); // listens at once
        // to the one whose packets it wants; the kernel may refuse
        const connected = await new Promise<boolean>((resolve) => {
          socket.connect(from.port, isIpv4 ? "127.0.0.1" : "::1", (error?: Error) => resolve(error === undefined));
        });
        await pass(`connected${at}`);
        if (connected) socket.disconnect();
        await pass(`disconnected${at}`);
        socket.close();
      }
      from.close();
    });
  }

  test("B05 what the host keeps for others of its user is not for them", async () => {
    using host = await open(OF_OTHERS);
    using one = await RawProgram.bound(host);
    using two = await RawProgram.bound(host);
    await sleep(20);
    assert.deepEqual([one.fds.length, two.fds.length], [1, 1]);
    // nor may they hand sockets to a host
    two.say({ op: "kept", place: { address: "127.0.0.1", port: 1, ipv6Only: false }, indexes: [0] }, [
      two.fds[0] as number,
    ]);
    await until(() => two.closed);
  });

  test("B05 an address that another one covers is no way to its packets", async () => {
    using host = await open({ ...OF_OTHERS, places: [{ address: "::", port: 0, ipv6Only: false }] });
    using victim = new RawProgram(host);
    using thief = new RawProgram(host);
    const route = await victim.hello();
    await thief.hello();
    await victim.bind(host.port);
    const covered = [
      { address: "0.0.0.0", ipv6Only: false },
      { address: "::ffff:0.0.0.0", ipv6Only: false },
      { address: "::", ipv6Only: true },
      { address: "::0%lo", ipv6Only: true },
      { address: "127.0.0.1", ipv6Only: true },
    ];
    for (const [i, place] of covered.entries()) {
      thief.say({ op: "bind", id: i, place: { ...place, port: host.port }, index: -1 });
      assert.deepEqual((await thief.next("bound")).group, host.host.places[0]);
    }
    assert.equal(host.host.places.length, 1);
    const from = await udp();
    send(from, host.port, shortPacket(route, "mine"));
    await until(() => victim.received.includes("mine"));
    from.close();
  });

  for (const [who, options] of [
    ["another", OF_OTHERS],
    ["the host's", {}],
  ] as const) {
    for (const address of ["127.0.0.1", "0.0.0.0"]) {
      test(
        `B02 ${address} of one program takes no clients of a program of ${who} user on all addresses`,
        withBench(async (bench) => {
          using host = await open({ ...options, places: [] });
          using thief = new RawProgram(host);
          await thief.hello();
          thief.say({ op: "bind", id: 1, place: { address, port: 0, ipv6Only: false }, index: -1 });
          const { port } = (await thief.next("bound")).place;
          const wanted = { alpn: ["other"], serverNames: [], reusePort: false, retry: false };
          thief.say({ op: "listen", id: 2, bind: 1, wanted });
          await thief.next("done");
          await echoAt(bench, host, "smbd", { address: `[::]:${port}` });
          assert.equal(host.host.places.length, 2);
          const session = await clientOf(host, "smbd");
          bench.later(() => session.destroy());
          assert.equal(await ask(session, content(300_000)), "smbd");
        }),
      );
    }
  }

  test("B05 a port that is open for IPv6 alone is not opened for both", async () => {
    using host = await open({ ...OF_OTHERS, places: [{ address: "::", port: 0, ipv6Only: true }] });
    using program = new RawProgram(host);
    await program.hello();
    program.say({ op: "bind", id: 1, place: { address: "::", port: host.port, ipv6Only: false }, index: -1 });
    assert.equal((await program.next("done")).code, "EADDRINUSE");
    program.say({ op: "bind", id: 2, place: { address: "0.0.0.0", port: host.port, ipv6Only: false }, index: -1 });
    await program.next("bound");
    assert.equal(host.host.places.length, 2);
  });

  test("many that open one port at once get the same one", async () => {
    using host = await open({ ...OF_OTHERS, places: [] });
    const port = await udp().then((socket) => {
      const { port: free } = socket;
      socket.close();
      return free;
    });
    const programs: RawProgram[] = [];
    for (const address of ["::", "0.0.0.0", "127.0.0.1", "::"]) {
      const program = new RawProgram(host);
      programs.push(program);
      program.say({ op: "hello", version: BROKER_VERSION, resume: null });
      program.say({ op: "bind", id: 1, place: { address, port, ipv6Only: false }, index: -1 });
    }
    for (const program of programs) assert.equal((await program.next("bound")).group.address, "::");
    assert.equal(host.host.places.length, 1);
    for (const program of programs) program[Symbol.dispose]();
  });
});

describe("routes and ids", () => {
  test("B04 after a restart nobody comes back by a route that was another's since", async () => {
    using host = await open(OF_OTHERS);
    using before = new RawProgram(host);
    const old = await before.hello();
    before.socket.close();
    await until(() => host.host.programCount === 0);
    const owner = new RawProgram(host);
    const route = await owner.hello();
    assert.equal(route.route, old.route);
    host.stop();
    await host.start(OF_OTHERS);
    using thief = new RawProgram(host);
    const asked = thief.hello(old);
    using back = new RawProgram(host);
    assert.deepEqual(await back.hello(route), route);
    assert.notEqual((await asked).route, route.route);
    owner.socket.close();
  });

  test("B04 a route is given back to who has its key only", async () => {
    using host = await open();
    using owner = new RawProgram(host);
    const { route, generation, key } = await owner.hello();
    owner.socket.close();
    await until(() => host.host.programCount === 0);
    for (let i = 0; i < 200; i++) {
      using forger = new RawProgram(host);
      const forged = new Uint8Array(16);
      systemRandom.fill(forged, 0, 16);
      const given = await forger.hello({
        route,
        generation: i % 2 === 0 ? generation : i,
        key: i % 2 === 0 ? forged : key,
      });
      assert.notEqual(given.generation, generation);
      forger.socket.close();
    }
    using back = new RawProgram(host);
    assert.deepEqual((await back.hello({ route, generation, key })).generation, generation);
  });

  test("B04 packets with forged ids reach nobody", async () => {
    using host = await open(OF_OTHERS);
    using program = new RawProgram(host);
    const route = await program.hello();
    await program.bind(host.port);
    const from = await udp();
    for (let i = 0; i < 2000; i++) {
      const packet = shortPacket(route, "forged");
      systemRandom.fill(packet, 2, 9);
      send(from, host.port, packet);
      if (i % 100 === 0) await sleep(0);
    }
    send(from, host.port, shortPacket(route, "real"));
    await until(() => program.received.includes("real"));
    assert.ok(!program.received.includes("forged"));
    from.close();
  });

  test("a packet that the kernel gave to the wrong program finds the right one", async () => {
    using host = await open();
    using right = new RawProgram(host);
    using wrong = new RawProgram(host);
    const route = await right.hello();
    await wrong.hello();
    await right.bind(host.port);
    await wrong.bind(host.port);
    const client = await HostClient.connect(host.path);
    const socket = (await client.provider.open({ address: "127.0.0.1", port: host.port }, NO_HANDLER)) as HostUdpSocket;
    const rx = newRxBatch();
    const packet = shortPacket(route, "astray");
    rx.buf.set(packet);
    rx.rows.set([0, packet.length, 0, 0]);
    rx.count = rx.sourceCount = 1;
    socket.recv(newRxBatch());
    assert.equal(client.cids.isOurs(rx, 0), false);
    await until(() => right.received.includes("astray"));
    assert.ok(!wrong.received.includes("astray"));
    client.close();
  });
});

describe("B06 the host goes on", () => {
  /** The others' clients are served. */
  async function stillServes(bench: Parameters<typeof echoAt>[0], host: TestHost): Promise<void> {
    const session = await clientOf(host, "smbd");
    bench.later(() => session.destroy());
    assert.equal(await ask(session, content(100_000)), "smbd");
  }

  test(
    "under garbage, half messages and messages out of order: who says them is gone",
    withBench(async (bench) => {
      using host = await open();
      await echoAt(bench, host, "smbd");
      const hello = encode({ op: "hello", version: BROKER_VERSION, resume: null });
      const place = { address: "127.0.0.1", port: host.port, ipv6Only: false };
      const messages: Uint8Array[] = [
        Buffer.from("garbage"),
        hello.subarray(0, -1),
        Buffer.from("null"),
        Buffer.from("[]"),
        Buffer.from('{"op":"hello"}'),
        Buffer.of(1),
        Buffer.of(2, 0, 0, 0, 1, 255, 255, 255),
        encode({ op: "bind", id: 1, place, index: -1 }),
        new Uint8Array(SOCKET_LIMITS.maxMessageBytes + 1),
      ];
      for (const message of messages) {
        using program = new RawProgram(host);
        program.socket.send(message);
        await until(() => program.closed);
      }
      for (let i = 0; i < 200; i++) {
        using program = new RawProgram(host);
        const noise = new Uint8Array(1 + (i % 64));
        systemRandom.fill(noise, 0, noise.length);
        await program.hello();
        program.socket.send(noise);
        await until(() => program.closed);
      }
      await stillServes(bench, host);
    }),
  );

  test(
    "under ten thousand connections, and programs that never say who they are",
    withBench(async (bench) => {
      using host = await open();
      await echoAt(bench, host, "smbd");
      const silent: UnixSocket[] = [];
      for (let i = 0; i < 10_000; i++) {
        try {
          const socket = connectUnix(host.path, SOCKET_LIMITS);
          socket.unref();
          if (silent.length < MAX_BROKER_CONNECTIONS - 16) silent.push(socket);
          else socket.close();
        } catch (error) {
          assert.equal((error as { code?: string }).code, "EAGAIN"); // its backlog is full
          await sleep(0);
        }
      }
      await stillServes(bench, host);
      for (const socket of silent) socket.close();
    }),
  );

  test(
    "beside a program that does not read: what waits for it is bounded, and it is detached",
    withBench(async (bench) => {
      using host = await open(OF_OTHERS);
      await echoAt(bench, host, "smbd");
      using deaf = new RawProgram(host);
      const route = await deaf.hello();
      await deaf.bind(host.port);
      deaf.deafen();
      const from = await udp();
      const packet = shortPacket(route, "x".repeat(1200));
      for (let i = 0; i < 4000; i++) {
        send(from, host.port, packet);
        if (i % 50 === 0) await sleep(0);
      }
      const { queuedBytes, counters, programCount } = host.host;
      assert.ok(queuedBytes <= 2 ** 20, `${queuedBytes} wait`);
      assert.ok(counters.dropped > 0);
      assert.ok(programCount === 2 || host.notes.some((line) => line.includes("does not read")));
      await stillServes(bench, host);
      await until(() => host.notes.some((line) => line.includes("does not read")));
      from.close();
    }),
  );

  test("under descriptors that nobody asked for: they are closed", async () => {
    using host = await open();
    const file = openSync("/dev/null", "r");
    for (let i = 0; i < 50; i++) {
      using program = new RawProgram(host);
      await program.hello();
      program.say({ op: "unbind", id: 1 }, new Array<number>(200).fill(file));
      await until(() => program.closed);
    }
    closeFd(file);
    // those of all messages would be ten thousand
    const after = openSync("/dev/null", "r");
    assert.ok(after < 500, `${after}`);
    closeFd(after);
  });
});

test(
  "B07 a program that dies at any time leaves nothing: its name is free, and no other gets its packets",
  withBench(async (bench) => {
    using host = await open();
    await echoAt(bench, host, "h3");
    const other = await clientOf(host, "h3");
    bench.later(() => other.destroy());
    for (let i = 0; i < 100; i++) {
      const program = new RawProgram(host);
      program.say({ op: "hello", version: BROKER_VERSION, resume: null });
      program.say({ op: "bind", id: 1, place: { address: "127.0.0.1", port: host.port, ipv6Only: false }, index: -1 });
      const wanted = { alpn: ["smbd"], serverNames: [], reusePort: false, retry: false };
      program.say({ op: "listen", id: 2, bind: 1, wanted });
      await sleep(Math.random() * 4);
      program[Symbol.dispose]();
    }
    await until(() => host.host.programCount === 1);
    await echoAt(bench, host, "smbd");
    const session = await clientOf(host, "smbd");
    bench.later(() => session.destroy());
    assert.equal(await ask(session, content(10_000)), "smbd");
    assert.equal(await ask(other, content(10_000)), "h3");
  }),
);

test(
  "B08 a ticket and a token of one program mean nothing to another",
  withBench(async (bench) => {
    using host = await open();
    await echoAt(bench, host, "smbd");
    await echoAt(bench, host, "h3");
    let ticket: Uint8Array | undefined;
    let token: Uint8Array | undefined;
    const first = await clientOf(host, "smbd", {
      onsessionticket: (bytes: Uint8Array) => (ticket ??= bytes),
      onnewtoken: (bytes: Uint8Array) => (token ??= bytes),
    });
    bench.later(() => first.destroy());
    await until(() => ticket !== undefined && token !== undefined);
    const again = await clientOf(host, "smbd", { sessionTicket: ticket, token });
    bench.later(() => again.destroy());
    assert.equal(again.ext.runtime.resumed, true);
    const elsewhere = await clientOf(host, "h3", { sessionTicket: ticket, token });
    bench.later(() => elsewhere.destroy());
    assert.equal(elsewhere.ext.runtime.resumed, false);
    assert.equal(await ask(elsewhere, content(1000)), "h3");
  }),
);
