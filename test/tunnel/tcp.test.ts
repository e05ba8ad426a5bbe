import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "node:test";
import { content, sha256 } from "../api/support.js";
import { endOf, heard, NOWHERE, until, withRig } from "./rig.js";
import { freeTcpPort } from "../support/ports.js";

const MIB = 1 << 20;
const echo = (socket: Socket): unknown => socket.pipe(socket);

describe("TCP through a tunnel", () => {
  test(
    "8 MiB go there and back as they are",
    withRig(async (rig) => {
      const target = await rig.tcp(echo);
      const { port, near, far } = await rig.pair({ tcp: target });
      const bytes = content(8 * MIB);
      const socket = rig.dial(port);
      socket.end(bytes);
      assert.equal(sha256(await buffer(socket)), sha256(bytes));
      await until(() => near.open === 0 && far.open === 0);
      assert.deepEqual([near.inBytes, near.outBytes, near.reset], [bytes.length, bytes.length, 0]);
      assert.deepEqual([far.inBytes, far.outBytes, far.reset], [bytes.length, bytes.length, 0]);
    }),
  );

  test(
    "200 connections at once",
    withRig(async (rig) => {
      const target = await rig.tcp(echo);
      const { port, near } = await rig.pair({ tcp: target });
      const one = async (index: number): Promise<void> => {
        const bytes = content(20_000 + index);
        const socket = rig.dial(port);
        socket.end(bytes);
        assert.equal(sha256(await buffer(socket)), sha256(bytes));
      };
      await Promise.all(Array.from({ length: 200 }, (_, index) => one(index)));
      assert.deepEqual([near.connections, near.refused, near.reset], [200, 0, 0]);
    }),
  );

  test(
    "a target that speaks first is heard",
    withRig(async (rig) => {
      const target = await rig.tcp((socket) => socket.end("220 ready\r\n"));
      const { port } = await rig.pair({ tcp: target });
      assert.equal(await heard(rig.dial(port, { allowHalfOpen: true })), "220 ready\r\n");
    }),
  );

  test(
    "a FIN ends one direction: the other goes on",
    withRig(async (rig) => {
      const target = await rig.tcp(async (socket) => {
        const asked = await heard(socket);
        await sleep(30);
        socket.end(`you said ${asked}`);
      });
      const { port, near } = await rig.pair({ tcp: target });
      const socket = rig.dial(port, { allowHalfOpen: true });
      socket.end("all of it");
      assert.equal(await heard(socket), "you said all of it");
      assert.equal(near.reset, 0);
    }),
  );

  test(
    "a FIN of the target first",
    withRig(async (rig) => {
      let said = "";
      const target = await rig.tcp(async (socket) => {
        socket.end("bye");
        said = await heard(socket);
      });
      const { port } = await rig.pair({ tcp: target });
      const socket = rig.dial(port, { allowHalfOpen: true });
      assert.equal(await heard(socket), "bye");
      socket.end("still here");
      await until(() => said === "still here");
    }),
  );

  test(
    "a reset of the target is a reset here, and the other way round",
    withRig(async (rig) => {
      const sockets: Socket[] = [];
      const target = await rig.tcp((socket) => {
        sockets.push(socket);
        socket.once("data", () => socket.resetAndDestroy());
      });
      const { port, near, far } = await rig.pair({ tcp: target });
      const socket = rig.dial(port);
      socket.write("x");
      assert.equal(await endOf(socket), "ECONNRESET");

      const other = rig.dial(port);
      await until(() => sockets.length === 2);
      const ended = endOf(sockets[1] as Socket);
      other.resetAndDestroy();
      assert.equal(await ended, "ECONNRESET");
      await until(() => near.open + far.open === 0);
      assert.deepEqual([near.reset, far.reset, near.refused], [2, 2, 0]);
    }),
  );

  test(
    "a connection that its program drops in the middle of a transfer does not stay at the target",
    withRig(async (rig) => {
      let far: Socket | undefined;
      const target = await rig.tcp((socket) => {
        far = socket;
        socket.write(content(30 * MIB));
      });
      const { port, near } = await rig.pair({ tcp: target });
      const socket = rig.dial(port);
      await once(socket, "data");
      socket.destroy();
      await until(() => far?.destroyed);
      await until(() => near.open === 0);
    }),
  );

  test(
    "a target that is down, and one without an address, reset the program's connection",
    withRig(async (rig) => {
      const dead = await freeTcpPort();
      const { port, near, far } = await rig.pair({ tcp: { host: "127.0.0.1", port: dead } });
      assert.equal(await endOf(rig.dial(port)), "ECONNRESET");
      assert.deepEqual([near.reset, far.refused], [1, 1]);
      const lost = await rig.pair({ tcp: { host: NOWHERE, port: 1 } });
      assert.equal(await endOf(rig.dial(lost.port)), "ECONNRESET");
    }),
  );

  test(
    "a reader that is slow holds the writer back",
    withRig(async (rig) => {
      const target = await rig.tcp((socket) => void socket.pause());
      const { port, near, far } = await rig.pair({ tcp: target });
      const socket = rig.dial(port);
      socket.write(content(64 * MIB));
      await until(() => near.inBytes > MIB);
      let seen = -1;
      await until(() => {
        const before = seen;
        seen = near.inBytes;
        return before === seen;
      });
      await sleep(100);
      assert.ok(near.inBytes < 32 * MIB, `${near.inBytes} bytes were taken from the writer`);
      assert.ok(far.outBytes < 32 * MIB);
    }),
  );

  test(
    "a program that pauses again and again gets all that its target poured out at once",
    withRig(async (rig) => {
      const bytes = content(24 * MIB);
      const target = await rig.tcp((socket) => socket.end(bytes));
      const { port } = await rig.pair({ tcp: target });
      const socket = rig.dial(port, { allowHalfOpen: true });
      const hash = createHash("sha256");
      let received = 0;
      socket.on("data", (chunk: Buffer) => {
        hash.update(chunk);
        const before = received;
        received += chunk.length;
        if (Math.floor(before / (4 * MIB)) === Math.floor(received / (4 * MIB))) return;
        socket.pause();
        setTimeout(() => socket.resume(), 40);
      });
      await once(socket, "end");
      assert.deepEqual([received, hash.digest("hex")], [bytes.length, sha256(bytes)]);
    }),
  );

  test(
    "many services of one server: each client gets the target of its own ALPN name",
    withRig(async (rig) => {
      const one = await rig.tcp((socket) => socket.end("one"));
      const two = await rig.tcp((socket) => socket.end("two"));
      const server = await rig.serve([
        { alpn: "one", reverse: false, tcp: one, udp: null },
        { alpn: "two", reverse: false, tcp: two, udp: null },
      ]);
      for (const alpn of ["two", "one"]) {
        const client = rig.join(server.port, { alpn, reverse: false, tcp: { host: "127.0.0.1", port: 0 }, udp: null });
        const { port } = await client.told("accepting");
        const socket = rig.dial(port, { allowHalfOpen: true });
        assert.equal(await heard(socket), alpn);
      }
    }),
  );

  test(
    "in reverse: the server accepts, and the client that came last passes on",
    withRig(async (rig) => {
      const free = { host: "127.0.0.1", port: 0 };
      const server = await rig.serve([{ alpn: "web", reverse: true, tcp: free, udp: null }]);
      const { port } = await server.told("accepting");
      const early = heard(rig.dial(port)); // waits for the first client
      for (const [index, name] of ["first", "second"].entries()) {
        const target = await rig.tcp((socket) => socket.end(name));
        rig.join(server.port, { alpn: "web", reverse: true, tcp: target, udp: null });
        await server.told("up", index + 1);
        assert.equal(await heard(rig.dial(port)), name);
      }
      assert.equal(await early, "first");
    }),
  );
});
