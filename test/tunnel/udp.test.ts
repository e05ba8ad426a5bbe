import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { describe, test } from "node:test";
import { MAX_FLOWS } from "#src/api/tunnel/limits.js";
import { content } from "../api/support.js";
import { NOWHERE, type Rig, until, withRig } from "./rig.js";
import { freeTcpPort } from "../support/ports.js";

/** A target that sends each datagram back, with the port that it came from before it. */
async function echo(rig: Rig) {
  const senders = new Set<number>();
  const target = await rig.udp(function (payload, from) {
    senders.add(from.port);
    this.send(payload, from.port, from.address);
  });
  return { ...target, senders };
}

/** A program's socket that talks to `port`. */
async function program(port: number): Promise<Socket> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.connect(port, "127.0.0.1", resolve));
  return socket;
}

async function ask(socket: Socket, payload: Uint8Array): Promise<Buffer> {
  const answer = once(socket, "message") as Promise<[Buffer]>;
  socket.send(payload);
  return (await answer)[0];
}

describe("UDP through a tunnel", () => {
  test(
    "each sender is a flow with a socket of its own, and gets its own answers",
    withRig(async (rig) => {
      const target = await echo(rig);
      const { port, near, far } = await rig.pair({ udp: target });
      const programs = await Promise.all([1, 2, 3].map(() => program(port)));
      for (const round of [0, 1]) {
        const said = programs.map((_, index) => Buffer.from(`${round} of ${index}`));
        const heard = await Promise.all(programs.map((socket, index) => ask(socket, said[index] as Buffer)));
        assert.deepEqual(heard, said);
      }
      assert.equal(target.senders.size, 3);
      assert.deepEqual([near.flows, far.flows], [3, 3]);
      assert.deepEqual([near.datagramsIn, near.datagramsOut, far.datagramsIn, far.datagramsOut], [6, 6, 6, 6]);
      for (const socket of programs) socket.close();
    }),
  );

  test(
    "RFC 9221 §5 what does not fit is dropped, counted and said; what just fits arrives, and so does nothing at all",
    withRig(async (rig) => {
      const target = await echo(rig);
      const { port, near } = await rig.pair({ udp: target });
      const socket = await program(port);
      socket.send(content(1500));
      await until(() => near.datagramsTooLarge === 1);
      assert.equal(near.tooLargeBytes, 1500);
      assert.ok(near.fitBytes > 1100 && near.fitBytes < 1452, `${near.fitBytes}`);
      const most = content(near.fitBytes);
      assert.deepEqual(await ask(socket, most), Buffer.from(most));
      assert.equal((await ask(socket, new Uint8Array(0))).length, 0);
      assert.equal(near.datagramsTooLarge, 1);
      socket.close();
    }),
  );

  test(
    "a flow that is silent is forgotten at both ends; the next datagram begins another",
    withRig(async (rig) => {
      const target = await echo(rig);
      const { port, near, far } = await rig.pair({ udp: target }, { udpIdleMillis: 1500 });
      const socket = await program(port);
      await ask(socket, content(10));
      assert.deepEqual([near.flows, far.flows], [1, 1]);
      await until(() => near.flows === 0 && far.flows === 0);
      await ask(socket, content(10));
      assert.deepEqual([near.flows, far.flows], [1, 1]);
      socket.close();
    }),
  );

  test(
    "flows are bounded at both ends",
    withRig(async (rig) => {
      const target = await echo(rig);
      const { port, near, far } = await rig.pair({ udp: target });
      const one = async (): Promise<void> => {
        const socket = await program(port);
        await ask(socket, content(1));
        socket.close();
      };
      for (let count = 0; count < MAX_FLOWS + 16; count += 16) await Promise.all(Array.from({ length: 16 }, one));
      assert.deepEqual([near.flows, far.flows], [MAX_FLOWS, MAX_FLOWS]);
    }),
  );

  test(
    "a target that is not there costs its datagrams and nothing else",
    withRig(async (rig) => {
      const { port, far } = await rig.pair({ udp: { host: "127.0.0.1", port: await freeTcpPort() } });
      const socket = await program(port);
      for (let count = 0; count < 5; count++) socket.send(content(10));
      await until(() => far.datagramsOut + far.datagramsDropped >= 5 && far.datagramsDropped > 0);
      socket.close();
      const lost = await rig.pair({ udp: { host: NOWHERE, port: 1 } });
      const other = await program(lost.port);
      other.send(content(10));
      await until(() => lost.far.datagramsDropped === 1);
      other.close();
    }),
  );

  test(
    "in reverse; TCP and UDP of one service do not meet",
    withRig(async (rig) => {
      const free = { host: "127.0.0.1", port: 0 };
      const target = await echo(rig);
      const tcp = await rig.tcp((socket) => socket.end("tcp"));
      const server = await rig.serve([{ alpn: "x", reverse: true, tcp: free, udp: free }]);
      rig.join(server.port, { alpn: "x", reverse: true, tcp, udp: target });
      await server.told("up");
      const accepting = [await server.told("accepting", 1), await server.told("accepting", 2)];
      const [udpPort] = accepting.filter(({ protocol }) => protocol === "udp").map(({ port }) => port);
      const [tcpPort] = accepting.filter(({ protocol }) => protocol === "tcp").map(({ port }) => port);
      const socket = await program(udpPort as number);
      assert.equal((await ask(socket, Buffer.from("udp"))).toString(), "udp");
      const [chunk] = (await once(rig.dial(tcpPort as number), "data")) as [Buffer];
      assert.equal(chunk.toString(), "tcp");
      socket.close();
    }),
  );

  test(
    "a flow that finds no way to the target is forgotten at once: its next datagram begins anew",
    withRig(async (rig) => {
      const { port, far } = await rig.pair({ udp: { host: "255.255.255.255", port: 9 } }); // connect() is EACCES
      const socket = await program(port);
      for (const count of [1, 2]) {
        socket.send("x");
        await until(() => far.datagramsDropped === count);
        assert.equal(far.flows, 0);
      }
      socket.close();
    }),
  );
});
