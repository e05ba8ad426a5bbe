/** The stream cases of the Linux QUIC functional tests, by number and arithmetic, over two connections in memory. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as n from "#src/socket/numbers.js";
import type { QuicSock } from "#src/socket/sock.js";
import { errInfo, streamInfo } from "#src/socket/structs.js";
import { getOption, receiveAll, send, sendPlain, setOption, SocketPair, text } from "./support.js";

const NEW = n.MSG_QUIC_STREAM_NEW;
const FIN = n.MSG_QUIC_STREAM_FIN;
const UNI = n.MSG_QUIC_STREAM_UNI;
const DONTWAIT = n.MSG_QUIC_STREAM_DONTWAIT;

/** STREAM_OPEN: the id, or the name of the error. */
function open(sock: QuicSock, stream_id: number, stream_flags = 0): number | string {
  const result = getOption(sock, n.QUIC_SOCKOPT_STREAM_OPEN, streamInfo.encode({ stream_id, stream_flags }));
  return typeof result === "string" ? result : streamInfo.decode(result).stream_id;
}

function reset(sock: QuicSock, stream_id: number, errcode = 1): number | string {
  return setOption(sock, n.QUIC_SOCKOPT_STREAM_RESET, errInfo.encode({ stream_id, errcode }));
}

function stop(sock: QuicSock, stream_id: number, errcode = 1): number | string {
  return setOption(sock, n.QUIC_SOCKOPT_STREAM_STOP_SENDING, errInfo.encode({ stream_id, errcode }));
}

/** Both halves of client stream `id` come to their end. */
function finish(sockets: SocketPair, id: number): void {
  sockets.settle();
  receiveAll(sockets.server);
  if ((id & 2) === 0) assert.equal(send(sockets.server, "", id, FIN), 0);
  sockets.settle();
  receiveAll(sockets.client);
  sockets.settle();
}

describe("stream cases 1-36: opening", () => {
  test("1-2 a stream that is not open is EINVAL, NEW opens it", () => {
    const { client } = new SocketPair();
    assert.equal(send(client, "client stream 0", 0, 0), "EINVAL");
    assert.equal(send(client, "client stream 0", 0, NEW), 15);
    assert.equal(send(client, "more", 0, 0), 4);
  });

  test("3-4 id 4 before id 0 opens both, and data arrives in the order in which it was sent", () => {
    const sockets = new SocketPair();
    const { client, server } = sockets;
    assert.equal(send(client, "quic message 4", 4, NEW), 14);
    assert.equal(send(client, "quic message 0", 0, NEW), 14);
    sockets.settle();
    assert.deepEqual(receiveAll(server), ["4: quic message 4", "0: quic message 0"]);
  });

  test("5-8 id -1 takes the next bidirectional or unidirectional id, and then the active stream", () => {
    const sockets = new SocketPair();
    const { client, server } = sockets;
    assert.equal(send(client, "a", -1, 0), "EINVAL");
    assert.equal(send(client, "a", -1, NEW), 1);
    assert.equal(send(client, "b", -1, 0), 1);
    assert.equal(send(client, "c", -1, NEW | UNI), 1);
    assert.equal(sendPlain(client, { data: text("d") }), 1);
    assert.equal(sendPlain(client, { data: text("e"), flags: FIN }), 1);
    assert.equal(sendPlain(client, { data: text("f") }), "EINVAL");
    sockets.settle();
    assert.deepEqual(receiveAll(server), ["0: ab", "2 fin: cde"]);
  });

  test("NEW with id -1 opens the next stream while another is active (section 0, row 9)", () => {
    const { client } = new SocketPair();
    assert.equal(send(client, "a", -1, NEW), 1);
    assert.equal(send(client, "b", -1, NEW), 1);
    assert.equal(open(client, -1), 8);
  });

  test("9-10 a stream that is over is ENOSTR, with NEW, too", () => {
    const sockets = new SocketPair();
    assert.equal(send(sockets.client, "x", 0, NEW | FIN), 1);
    finish(sockets, 0);
    assert.equal(send(sockets.client, "x", 0, 0), "ENOSTR");
    assert.equal(send(sockets.client, "x", 0, NEW), "ENOSTR");
    assert.equal(open(sockets.client, 0), "ENOSTR");
  });

  test("11-14 STREAM_OPEN by id and by -1; a second time is EINVAL", () => {
    const { client } = new SocketPair();
    assert.equal(open(client, 0), 0);
    assert.equal(open(client, -1), 4);
    assert.equal(open(client, -1, UNI), 2);
    assert.equal(open(client, 4), "EINVAL");
    assert.equal(send(client, "x", 4, 0), 1);
    assert.equal(send(client, "x", 4, NEW), "EINVAL");
    assert.equal(open(client, 1), "EINVAL");
  });

  test("15 FIN alone is a message", () => {
    const sockets = new SocketPair();
    assert.equal(send(sockets.client, "", 0, NEW), "EMSGSIZE");
    assert.equal(send(sockets.client, "", 0, NEW | FIN), 0);
    assert.equal(send(sockets.client, "late", 0, 0), "EINVAL");
    sockets.settle();
    assert.deepEqual(receiveAll(sockets.server), ["0 fin: "]);
  });

  for (const type of [0, 2]) {
    test(`16-24 the refused id of type ${type} is type + 4 * (100 + closed)`, () => {
      const sockets = new SocketPair();
      const { client } = sockets;
      assert.equal(send(client, "x", type + 4 * 100, NEW | DONTWAIT), "EAGAIN");
      assert.equal(open(client, type + 4 * 100, DONTWAIT), "EAGAIN");
      assert.equal(send(client, "x", type + 4 * 99, NEW | DONTWAIT), 1);
      let closed = 0;
      for (let id = type; id < type + 4 * 20; id += 4) {
        assert.equal(send(client, "x", id, FIN), 1);
        finish(sockets, id);
        closed++;
      }
      assert.equal(open(client, type + 4 * (100 + closed), DONTWAIT), "EAGAIN");
      assert.equal(open(client, type + 4 * (99 + closed)), type + 4 * (99 + closed));
    });
  }

  test("streams of the peer: one that it did not open is EINVAL, and so is a half that is its own", () => {
    const sockets = new SocketPair();
    assert.equal(send(sockets.client, "x", 1, NEW), "EINVAL");
    assert.equal(send(sockets.client, "x", 1, 0), "EINVAL");
    assert.equal(send(sockets.server, "x", 1, NEW), 1);
    assert.equal(send(sockets.server, "x", 3, NEW), 1);
    sockets.settle();
    assert.equal(send(sockets.client, "y", 1, 0), 1);
    assert.equal(send(sockets.client, "y", 3, 0), "EINVAL");
  });
});

describe("stream cases 1-36: reset and stop", () => {
  test("25-29 reset: unopened and receive-only are EINVAL, closed is ENOSTR, sends after it are EINVAL", () => {
    const sockets = new SocketPair();
    const { client, server } = sockets;
    assert.equal(reset(client, 0), "EINVAL");
    assert.equal(send(server, "x", 3, NEW), 1);
    assert.equal(send(client, "x", 0, NEW | FIN), 1);
    assert.equal(send(client, "x", 4, NEW), 1);
    finish(sockets, 0);
    assert.equal(reset(client, 0), "ENOSTR");
    assert.equal(reset(client, 3), "EINVAL");
    assert.equal(reset(client, 4, 9), 0);
    assert.equal(reset(client, 4, 9), "EINVAL");
    assert.equal(send(client, "x", 4, 0), "EINVAL");
    assert.equal(send(client, "x", 4, NEW), "EINVAL");
    assert.equal(sendPlain(client, { data: text("x") }), "EINVAL");
    sockets.settle();
    assert.deepEqual(receiveAll(server), []);
  });

  test("30-36 stop sending: unopened and send-only are EINVAL, closed is ENOSTR, twice is EAGAIN, the peer's sends are EINVAL", () => {
    const sockets = new SocketPair();
    const { client, server } = sockets;
    assert.equal(stop(server, 0), "EINVAL");
    assert.equal(send(client, "x", 2, NEW), 1);
    assert.equal(send(client, "x", 0, NEW), 1);
    assert.equal(stop(client, 2), "EINVAL");
    sockets.settle();
    assert.equal(stop(server, 0, 5), 0);
    assert.equal(stop(server, 0, 5), "EAGAIN");
    sockets.settle();
    assert.equal(send(client, "x", 0, 0), "EINVAL");
    assert.equal(send(client, "x", 0, FIN), "EINVAL");
    assert.equal(send(client, "x", 4, NEW | FIN), 1);
    finish(sockets, 4);
    assert.equal(stop(server, 4), "ENOSTR");
    assert.deepEqual(receiveAll(server), []);
  });
});

describe("sendmsg", () => {
  test("unknown flags are EINVAL, of the call and of the control message", () => {
    const { client } = new SocketPair();
    assert.equal(sendPlain(client, { data: text("x"), flags: 0x100000 }), "EINVAL");
    assert.equal(send(client, "x", 0, NEW | n.MSG_MORE), "EINVAL");
    assert.equal(sendPlain(client, { data: text("x"), flags: NEW | n.MSG_BATCH | n.MSG_NOSIGNAL | n.MSG_WAITALL }), 1);
  });

  test("the control message's flags take the place of the call's", () => {
    const { client } = new SocketPair();
    const stream = { stream_id: 0, stream_flags: 0 };
    assert.equal(sendPlain(client, { data: text("x"), flags: NEW, stream }), "EINVAL");
  });

  test("out of flow credit is ENOSPC for a named stream, so that another can be taken, else EAGAIN; credit heals it", () => {
    const sockets = new SocketPair({ server: { initialMaxStreamDataBidiRemote: 2000, streamWindowMaxBytes: 2000 } });
    const { client, server } = sockets;
    assert.equal(send(client, new Uint8Array(3000), 0, NEW), 2000);
    assert.equal(send(client, "x", 0, 0), "ENOSPC");
    assert.equal(sendPlain(client, { data: text("x") }), "EAGAIN");
    assert.equal(send(client, "x", 4, NEW), 1);
    assert.equal(send(client, "", 0, FIN), 0);
    sockets.settle();
    assert.equal(receiveAll(server).length, 2);
  });

  test("out of send memory is EAGAIN until the peer acknowledges", () => {
    const sockets = new SocketPair();
    const { client } = sockets;
    client.sendBufferBytes = 10_000;
    assert.equal(send(client, new Uint8Array(20_000), 0, NEW), 10_000);
    assert.equal(send(client, "x", 0, 0), "EAGAIN");
    assert.equal(client.poll(false) & n.POLLOUT, 0);
    sockets.settle();
    assert.equal(send(client, "x", 0, 0), 1);
  });

  test("FIN counts with the last byte only", () => {
    const sockets = new SocketPair();
    sockets.client.sendBufferBytes = 1000;
    assert.equal(send(sockets.client, new Uint8Array(1500), 0, NEW | FIN), 1000);
    sockets.settle();
    assert.equal(send(sockets.client, "rest", 0, FIN), 4);
  });
});
