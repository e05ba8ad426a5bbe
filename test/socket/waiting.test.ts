/** Calls that wait and what ends them: timeouts, signals, flags; what poll and ioctl say meanwhile. */

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import * as quic from "#src/api/socket/index.js";
import * as n from "#src/socket/numbers.js";
import { closeLeftovers, hasCode, listening, live, type Live, params } from "./live.js";
import { receive, send, sendPlain, SocketPair, text } from "./support.js";

afterEach(closeLeftovers);

const { promises, structs } = quic;
const { MSG_QUIC_STREAM_DONTWAIT: STREAM_DONTWAIT, MSG_QUIC_STREAM_FIN: FIN, MSG_QUIC_STREAM_NEW: NEW } = n;

describe("ioctl: bytes of payload", () => {
  test("SIOCOUTQ counts until the acknowledgement, SIOCOUTQNSD until the first sending, SIOCINQ until recvmsg", () => {
    const sockets = new SocketPair();
    const { client, server, pair } = sockets;
    const { details } = client.attached as NonNullable<typeof client.attached>;
    send(client, new Uint8Array(5000), 0, NEW);
    send(client, new Uint8Array(300), 4, NEW);
    assert.deepEqual([details.unackedBytes, details.unsentBytes], [5300, 5300]);
    pair.sendFromClient();
    assert.deepEqual([details.unackedBytes, details.unsentBytes > 0], [5300, true], "Nagle's rule holds the rest");
    sockets.settle();
    assert.deepEqual([details.unackedBytes, details.unsentBytes, server.readableBytes], [0, 0, 5300]);
    sendPlain(client, { data: text("datagram"), flags: n.MSG_QUIC_DATAGRAM });
    sockets.settle();
    assert.equal(server.readableBytes, 5308);
    receive(server, 1000);
    assert.equal(server.readableBytes, 4308);
    receive(server, 1000, n.MSG_PEEK);
    assert.equal(server.readableBytes, 4308, "a look takes nothing");
  });

  test("by number, and EINVAL on a listener or for another request", () =>
    live({}, ({ listener, client }) => {
      quic.sendmsg(client, { data: new Uint8Array(700), flags: 0, stream: { stream_id: 0, stream_flags: NEW } });
      const values = [n.SIOCINQ, n.SIOCOUTQ, n.SIOCOUTQNSD].map((request) => quic.ioctl(client, request));
      assert.deepEqual(values, [0, 700, 700]);
      assert.throws(() => quic.ioctl(listener, n.SIOCINQ), hasCode("EINVAL"));
      assert.throws(() => quic.ioctl(client, 1), hasCode("EINVAL"));
    }));
});

describe("poll", () => {
  test("POLLOUT needs credit of the connection, too", () => {
    const sockets = new SocketPair({ server: { initialMaxData: 2000 } });
    const { client, server } = sockets;
    assert.equal(client.poll(false), n.POLLOUT);
    assert.equal(send(client, new Uint8Array(3000), 0, NEW), 2000);
    sockets.settle();
    assert.equal(client.poll(false), 0);
    receive(server, 2000);
    sockets.settle();
    assert.equal(client.poll(false), n.POLLOUT);
  });

  test("a listener is readable when a connection waits; ESTABLISHING is readable with a TLS message, and not writable", async () => {
    const listener = await listening("sample");
    assert.equal(quic.poll(listener), 0);
    assert.equal(await promises.poll(listener, n.POLLIN, 5), 0, "past its time");
    const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    assert.equal(quic.poll(sd), n.POLLIN | n.POLLOUT | n.POLLRDHUP | n.POLLHUP | n.POLLERR, "CLOSED");
    quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "sample");
    await quic.connect(sd, { address: "127.0.0.1", port: quic.getsockname(listener).port });
    assert.equal(quic.poll(sd), 0);
    const handshake = quic.quic_client_handshake(sd, {
      serverName: "",
      psk: [{ identity: "a", key: Buffer.alloc(16) }],
    });
    assert.equal(await promises.poll(listener, n.POLLIN), n.POLLIN);
    const child = quic.accept(listener);
    assert.equal(quic.poll(listener), 0);
    assert.equal(await promises.poll(child, n.POLLIN), n.POLLIN);
    quic.close(child);
    await assert.rejects(handshake);
    assert.equal((await promises.poll(sd, 0)) & n.POLLHUP, n.POLLHUP, "an end is told unasked");
    const controller = new AbortController();
    const waiting = promises.poll(listener, n.POLLIN, 0, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
  });
});

describe("calls that wait", () => {
  const opening = (id: number, flags = 0) => ({
    data: Buffer.from("x"),
    flags: 0,
    stream: { stream_id: id, stream_flags: NEW | FIN | flags },
  });
  const FEW = [params({ max_streams_bidi: 1, max_streams_uni: 1 })];

  test("each ends by its signal, before and after it began", () =>
    live({ server: FEW }, async ({ listener, client }) => {
      quic.sendmsg(client, opening(0));
      const open = structs.streamInfo.encode({ stream_id: 4 });
      const waits: ((options: quic.promises.WaitOptions) => Promise<unknown>)[] = [
        (options) => promises.accept(listener, options),
        (options) => promises.recvmsg(client, 1, 0, options),
        (options) => promises.recv(client, 1, 0, options),
        (options) => promises.sendmsg(client, opening(4), options),
        (options) => promises.send(client, Buffer.from("x"), NEW, options),
        (options) => promises.getsockopt(client, quic.SOL_QUIC, n.QUIC_SOCKOPT_STREAM_OPEN, open, options),
        (options) => promises.poll(client, n.POLLIN, 0, options),
      ];
      for (const wait of waits) {
        const reason = new Error("enough");
        await assert.rejects(wait({ signal: AbortSignal.abort(reason) }), reason);
        const controller = new AbortController();
        const waiting = wait({ signal: controller.signal });
        setTimeout(() => controller.abort(reason), 5);
        await assert.rejects(waiting, reason);
      }
    }));

  test("SO_RCVTIMEO and SO_SNDTIMEO make EAGAIN of each, MSG_DONTWAIT and STREAM_DONTWAIT at once", () =>
    live({ server: FEW }, async ({ listener, client }) => {
      quic.sendmsg(client, opening(0));
      const open = (flags: number) => structs.streamInfo.encode({ stream_id: 4, stream_flags: flags });
      const atOnce: (() => Promise<unknown>)[] = [
        () => promises.recvmsg(client, 1, n.MSG_DONTWAIT),
        () => promises.recv(client, 1, n.MSG_DONTWAIT),
        () => promises.sendmsg(client, { ...opening(4), flags: n.MSG_DONTWAIT }),
        () => promises.sendmsg(client, opening(4, STREAM_DONTWAIT)),
        () => promises.send(client, Buffer.from("x"), NEW | STREAM_DONTWAIT),
        () => promises.getsockopt(client, quic.SOL_QUIC, n.QUIC_SOCKOPT_STREAM_OPEN, open(STREAM_DONTWAIT)),
      ];
      for (const wait of atOnce) await assert.rejects(wait(), hasCode("EAGAIN"));
      for (const sd of [listener, client]) quic.setsockopt(sd, quic.SOL_SOCKET, quic.SO_RCVTIMEO, 10);
      quic.setsockopt(client, quic.SOL_SOCKET, quic.SO_SNDTIMEO, 10);
      const timed: (() => Promise<unknown>)[] = [
        () => promises.accept(listener),
        () => promises.recvmsg(client, 1),
        () => promises.recv(client, 1),
        () => promises.sendmsg(client, opening(4)),
        () => promises.getsockopt(client, quic.SOL_QUIC, n.QUIC_SOCKOPT_STREAM_OPEN, open(0)),
      ];
      for (const wait of timed) await assert.rejects(wait(), hasCode("EAGAIN"));
    }));

  /** Ends stream 0 at both sides, so that the client may open another one. */
  async function endFirst({ client, server }: Live): Promise<void> {
    await promises.recvmsg(server, 10);
    await promises.sendmsg(server, {
      data: new Uint8Array(0),
      flags: 0,
      stream: { stream_id: 0, stream_flags: FIN },
    });
    await promises.recvmsg(client, 10);
  }

  test("sendmsg and STREAM_OPEN go on when the peer allows another stream", () =>
    live({ server: FEW }, async (both) => {
      const { client, server } = both;
      quic.sendmsg(client, opening(0));
      const sending = promises.sendmsg(client, opening(-1));
      await endFirst(both);
      assert.equal(await sending, 1);
      const { stream } = await promises.recvmsg(server, 10);
      assert.deepEqual(stream, { stream_id: 4, stream_flags: FIN });
    }));

  test("a message with id -1 that waits for memory opens one stream, however often it tries", () =>
    live({}, async ({ client, server }) => {
      quic.setsockopt(client, quic.SOL_SOCKET, quic.SO_SNDBUF, 16_384);
      const data = Buffer.alloc(100_000, 7);
      const first = promises.sendmsg(client, { data, flags: 0, stream: { stream_id: -1, stream_flags: NEW | FIN } });
      const second = promises.sendmsg(client, { data, flags: 0, stream: { stream_id: -1, stream_flags: NEW | FIN } });
      const got = new Map<number, number>();
      for (let ends = 0; ends < 2; ) {
        const { data: part, stream } = await promises.recvmsg(server, 65_536);
        const id = stream?.stream_id ?? -1;
        got.set(id, (got.get(id) ?? 0) + part.length);
        if (stream?.stream_flags === FIN) ends++;
      }
      assert.deepEqual(await Promise.all([first, second]), [data.length, data.length]);
      assert.deepEqual([...got.entries()].sort(), [
        [0, data.length],
        [4, data.length],
      ]);
    }));
});
