/** STREAM_PEELOFF: a stream as a descriptor of its own, over real UDP, and its rules in memory. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as quic from "#src/api/socket/index.js";
import * as n from "#src/socket/numbers.js";
import { PeeledStream, peelOff } from "#src/socket/peeled.js";
import type { QuicSock } from "#src/socket/sock.js";
import { errInfo, streamPeeloff } from "#src/socket/structs.js";
import { hasCode, type Live, live } from "./live.js";
import { getOption, named, receive, receiveAll, send, setOption, SocketPair, text } from "./support.js";

const NEW = n.MSG_QUIC_STREAM_NEW;
const FIN = n.MSG_QUIC_STREAM_FIN;
const { promises } = quic;

function peel(sock: QuicSock, id: number): PeeledStream {
  const stream = peelOff(sock, id, 0);
  assert.ok(stream instanceof PeeledStream, `${String(stream)}`);
  return stream;
}

function read(stream: PeeledStream, maxBytes = 65_536, flags = 0): string {
  const data = stream.recv(maxBytes, flags);
  return typeof data === "number" ? String(named(data)) : `"${String.fromCharCode(...data)}"`;
}

/** Stream 0 open on both sides, "one" on its way to the server. */
function withStream(): { sockets: SocketPair; client: PeeledStream; server: PeeledStream } {
  const sockets = new SocketPair();
  send(sockets.client, "one", 0, NEW);
  sockets.settle();
  return { sockets, client: peel(sockets.client, 0), server: peel(sockets.server, 0) };
}

describe("which streams", () => {
  test("option 15 gives the descriptor in its struct; of one stream there is one: EINVAL for a second", () => {
    const sockets = new SocketPair();
    send(sockets.client, "x", 0, NEW);
    const ask = streamPeeloff.encode({ stream_id: 0, flags: n.SOCK_CLOEXEC | n.SOCK_NONBLOCK });
    const got = streamPeeloff.decode(getOption(sockets.client, n.QUIC_SOCKOPT_STREAM_PEELOFF, ask) as Uint8Array);
    assert.deepEqual(got, { stream_id: 0, flags: n.SOCK_CLOEXEC | n.SOCK_NONBLOCK, sd: 77 });
    assert.equal(getOption(sockets.client, n.QUIC_SOCKOPT_STREAM_PEELOFF, ask), "EINVAL");
    assert.equal(setOption(sockets.client, n.QUIC_SOCKOPT_STREAM_PEELOFF, ask), "ENOPROTOOPT");
  });

  test("EINVAL: a stream that is not open, none, unknown flags, and a socket that is not ESTABLISHED", () => {
    const { client } = new SocketPair();
    for (const id of [0, 1, 4, -1, 2 ** 53]) assert.equal(named(peelOff(client, id, 0) as number), "EINVAL");
    send(client, "x", 0, NEW);
    assert.equal(named(peelOff(client, 0, 1) as number), "EINVAL");
    client.state = n.QUIC_SS_ESTABLISHING;
    assert.equal(named(peelOff(client, 0, 0) as number), "EINVAL");
  });
});

describe("data", () => {
  test("what is queued moves to the descriptor, what comes later goes past the socket", () => {
    const { sockets, client, server } = withStream();
    assert.deepEqual(receiveAll(sockets.server), []);
    assert.equal(read(server, 2), '"on"');
    assert.equal(client.send(text(" two"), 0), 4);
    send(sockets.client, "other", 4, NEW | FIN);
    sockets.settle();
    assert.deepEqual(receiveAll(sockets.server), ["4 fin: other"]);
    assert.equal(read(server, 100, n.MSG_PEEK), '"e two"');
    assert.equal(read(server), '"e two"');
    assert.equal(read(server), "EAGAIN");
    assert.equal(server.send(text("back"), 0), 4);
    sockets.settle();
    assert.deepEqual([receiveAll(sockets.client), read(client)], [[], '"back"']);
  });

  test("what MSG_PEEK saw on the socket is read from the descriptor", () => {
    const sockets = new SocketPair();
    send(sockets.client, "seen", 0, NEW);
    sockets.settle();
    const { server } = sockets;
    assert.equal(receive(server, 3, n.MSG_PEEK).data.length, 3);
    assert.equal(read(peel(server, 0)), '"seen"');
    assert.deepEqual(receiveAll(server), []);
  });

  test("a send that names the stream on the socket is EINVAL, and messages without an id do not go there", () => {
    const { sockets, client } = withStream();
    assert.equal(send(sockets.client, "x", 0, 0), "EINVAL");
    assert.equal(send(sockets.client, "x", -1, 0), "EINVAL");
    assert.equal(client.send(text("x"), 0), 1);
  });

  test("MSG_MORE holds data back until a send without it, as on the socket", () => {
    const { sockets, client, server } = withStream();
    read(server);
    assert.equal(client.send(text("more "), n.MSG_MORE), 5);
    sockets.pair.settle();
    assert.equal(read(server), "EAGAIN");
    assert.equal(client.send(text("and done"), 0), 8);
    sockets.settle();
    assert.equal(read(server), '"more and done"');
  });

  test("unknown flags and halves that are not there are EINVAL; an empty send is nothing", () => {
    const sockets = new SocketPair();
    send(sockets.client, "x", 2, NEW);
    sockets.settle();
    const [client, server] = [peel(sockets.client, 2), peel(sockets.server, 2)];
    assert.deepEqual([read(client), named(server.send(text("x"), 0))], ["EINVAL", "EINVAL"]);
    assert.equal(named(client.send(text("x"), FIN)), "EINVAL");
    assert.equal(read(server, 10, FIN), "EINVAL");
    assert.equal(client.send(new Uint8Array(0), 0), 0);
  });

  test("out of flow credit is EAGAIN, and POLLOUT says when there is some again", () => {
    const sockets = new SocketPair({ server: { initialMaxStreamDataUni: 1000, streamWindowMaxBytes: 1000 } });
    send(sockets.client, "x", 2, NEW);
    const client = peel(sockets.client, 2);
    assert.equal(client.send(new Uint8Array(5000), 0), 999);
    assert.deepEqual([named(client.send(text("x"), 0)), client.poll()], ["EAGAIN", 0]);
    let woken = 0;
    client.onWake = () => woken++;
    sockets.settle();
    read(peel(sockets.server, 2));
    sockets.settle();
    assert.deepEqual([woken > 0, client.poll()], [true, n.POLLOUT]);
  });
});

describe("who is woken", () => {
  test("a stream by what happens to it, one that waits for room by anything, all by the end of the connection", () => {
    const sockets = new SocketPair();
    const { client, server } = sockets;
    const woken = [0, 0, 0];
    for (const at of woken.keys()) {
      send(client, "x", 4 * at, NEW);
      sockets.settle();
      const stream = peel(server, 4 * at);
      stream.onWake = () => {
        woken[at] = (woken[at] ?? 0) + 1;
      };
    }
    server.sendBufferBytes = 1;
    assert.equal(named(server.peeled.get(8)?.send(text("ab"), 0) ?? 0), 1);
    assert.equal(named(server.peeled.get(8)?.send(text("b"), 0) ?? 0), "EAGAIN");
    woken.fill(0);
    send(client, "more", 0, 0);
    sockets.settle();
    assert.ok((woken[0] ?? 0) > 0);
    assert.equal(woken[1], 0);
    assert.ok((woken[2] ?? 0) > 0);
    client.attached?.transport.close("application", 0n, "");
    sockets.settle();
    assert.ok((woken[1] ?? 0) > 0);
  });
});

describe("ends", () => {
  test("shutdown(SHUT_WR) is FIN: the peer reads nothing more, this side still reads, and sends are EPIPE", () => {
    const { sockets, client, server } = withStream();
    assert.equal(client.shutdown(n.SHUT_WR), 0);
    assert.equal(named(client.send(text("x"), 0)), "EPIPE");
    sockets.settle();
    assert.deepEqual([read(server), read(server), read(server)], ['"one"', '""', '""']);
    assert.equal(server.send(text("answer"), 0), 6);
    sockets.settle();
    assert.equal(read(client), '"answer"');
  });

  test("shutdown(SHUT_RD) is STOP_SENDING: reads end, and the peer's sends are EPIPE", () => {
    const { sockets, client, server } = withStream();
    assert.equal(server.shutdown(n.SHUT_RD), 0);
    assert.equal(read(server), '""');
    sockets.settle();
    assert.equal(named(client.send(text("x"), 0)), "EPIPE");
    assert.equal(server.send(text("still"), 0), 5);
    sockets.settle();
    assert.equal(read(client), '"still"');
  });

  test("shutdown(SHUT_RDWR) is both; a how that is none is EINVAL", () => {
    const { sockets, client, server } = withStream();
    assert.equal(named(server.shutdown(3)), "EINVAL");
    assert.equal(server.shutdown(n.SHUT_RDWR), 0);
    sockets.settle();
    assert.deepEqual([read(client), named(client.send(text("x"), 0))], ['""', "EPIPE"]);
    assert.equal(server.poll() & n.POLLHUP, n.POLLHUP);
  });

  test("the peer's reset is ECONNRESET", () => {
    const { sockets, client, server } = withStream();
    setOption(sockets.client, n.QUIC_SOCKOPT_STREAM_RESET, errInfo.encode({ stream_id: 0, errcode: 5 }));
    sockets.settle();
    assert.equal(read(server), "ECONNRESET");
    assert.equal(named(client.send(text("x"), 0)), "EPIPE");
    assert.equal(server.poll(), n.POLLIN | n.POLLOUT | n.POLLRDHUP | n.POLLERR);
  });

  test("a connection that is gone is EPIPE, after what had come was read", () => {
    const { sockets, client, server } = withStream();
    sockets.pair.clientConn.close("application", 0n, "");
    sockets.settle();
    assert.equal(read(server), '"one"');
    assert.deepEqual(
      [read(server), named(server.send(text("x"), 0)), named(server.shutdown(n.SHUT_WR))],
      ["EPIPE", "EPIPE", "EPIPE"],
    );
    assert.equal(server.poll(), n.POLLIN | n.POLLOUT | n.POLLRDHUP | n.POLLHUP | n.POLLERR);
    client.close();
    server.close();
  });

  test("close ends both halves as far as they have not; the socket goes on, with other streams", () => {
    const { sockets, client, server } = withStream();
    assert.deepEqual([client.poll(), server.poll()], [n.POLLOUT, n.POLLIN | n.POLLOUT]);
    client.close();
    sockets.settle();
    assert.deepEqual([read(server), read(server), named(server.send(text("x"), 0))], ['"one"', '""', "EPIPE"]);
    server.close();
    assert.equal(sockets.server.peeled.size + sockets.client.peeled.size, 0);
    assert.equal(send(sockets.client, "more", 4, NEW | FIN), 4);
    sockets.settle();
    assert.deepEqual(receiveAll(sockets.server), ["4 fin: more"]);
  });
});

describe("descriptors over UDP", () => {
  async function openStream({ client, server }: Live): Promise<number> {
    const stream = { stream_id: 0, stream_flags: NEW };
    quic.sendmsg(client, { data: Buffer.from("hello"), flags: 0, stream });
    assert.equal((await promises.recvmsg(server, 5)).data.length, 5);
    return 0;
  }

  test("send, recv and poll without control messages; other calls are EOPNOTSUPP", () =>
    live({}, async (both) => {
      const id = await openStream(both);
      const [one, two] = [quic.peelOff(both.client, id), quic.peelOff(both.server, id)];
      assert.equal(await promises.send(one, Buffer.from("question")), 8);
      assert.equal(String(Buffer.from(await promises.recv(two, 100))), "question");
      const stream = { stream_id: 0, stream_flags: 0 };
      assert.throws(() => quic.sendmsg(one, { data: Buffer.from("x"), flags: 0, stream }), hasCode("EINVAL"));
      assert.throws(() => quic.getsockopt(one, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONFIG), hasCode("EOPNOTSUPP"));
      assert.throws(() => quic.accept(one), hasCode("EOPNOTSUPP"));
      quic.setsockopt(two, quic.SOL_SOCKET, quic.SO_RCVTIMEO, 20);
      await assert.rejects(promises.recv(two, 100), hasCode("EAGAIN"));
      assert.equal(quic.getpeername(one).port, quic.getpeername(both.client).port);
      assert.equal(quic.poll(one), quic.POLLOUT);
      quic.shutdown(one, quic.SHUT_WR);
      assert.equal((await promises.recvmsg(two, 100)).data.length, 0);
      for (const sd of [one, two]) quic.close(sd);
      assert.throws(() => quic.send(one, Buffer.from("x")), hasCode("EBADF"));
    }));

  test("it keeps the connection when the socket is closed before it", async () => {
    let server = -1;
    let peeled = -1;
    let client = -1;
    await live({}, async (both) => {
      const id = await openStream(both);
      client = quic.peelOff(both.client, id);
      server = both.server;
      peeled = quic.peelOff(server, id);
    });
    assert.equal(await promises.send(client, Buffer.from("still here")), 10);
    assert.equal(String(Buffer.from(await promises.recv(peeled, 100))), "still here");
    for (const sd of [client, peeled]) quic.close(sd);
  });

  test("as a Duplex: 2 MiB there and back through pipes, and the end of both sides", () =>
    live({}, async (both) => {
      const id = await openStream(both);
      const far = quic.duplexOf(quic.peelOff(both.server, id));
      far.pipe(far);
      const near = quic.duplexOf(quic.peelOff(both.client, id));
      const data = Buffer.alloc(2 * 2 ** 20, "netquic!");
      near.end(data);
      const parts: Buffer[] = [];
      for await (const part of near) parts.push(part as Buffer);
      assert.ok(Buffer.concat(parts).equals(data));
      assert.throws(() => quic.duplexOf(both.client), hasCode("EINVAL"));
    }));

  test("a Duplex that is destroyed with an error resets: the peer's fails with ECONNRESET", () =>
    live({}, async (both) => {
      const id = await openStream(both);
      const near = quic.duplexOf(quic.peelOff(both.client, id));
      const far = quic.duplexOf(quic.peelOff(both.server, id));
      const failed = new Promise<unknown>((resolve) => far.on("error", resolve));
      far.resume();
      near.on("error", () => {});
      near.destroy(new Error("given up"));
      assert.ok(hasCode("ECONNRESET")(await failed));
    }));

  test("one that is destroyed while writes wait resets, too: a stream that lost bytes has no clean end", () =>
    live({}, async (both) => {
      const id = await openStream(both);
      const near = quic.duplexOf(quic.peelOff(both.client, id));
      const far = quic.duplexOf(quic.peelOff(both.server, id));
      near.end(Buffer.alloc(8 * 2 ** 20));
      await new Promise((resolve) => far.once("readable", resolve));
      near.destroy();
      const failed = new Promise<unknown>((resolve) => {
        far.on("error", resolve);
        far.on("end", () => resolve(null));
      });
      far.resume();
      assert.ok(hasCode("ECONNRESET")(await failed));
    }));
});
