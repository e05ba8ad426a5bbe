/** The notification cases of the Linux QUIC functional tests, receiving, and what the end of a connection reads like. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as n from "#src/socket/numbers.js";
import { recvmsg } from "#src/socket/recvmsg.js";
import type { QuicSock } from "#src/socket/sock.js";
import { connectionClose, errInfo, eventOption, streamMaxData, streamUpdate } from "#src/socket/structs.js";
import { getOption, named, receive, receiveAll, send, sendPlain, setOption, SocketPair, text } from "./support.js";

const NEW = n.MSG_QUIC_STREAM_NEW;
const FIN = n.MSG_QUIC_STREAM_FIN;

function want(sock: QuicSock, type: number, on = 1): void {
  assert.equal(setOption(sock, n.QUIC_SOCKOPT_EVENT, eventOption.encode({ type, on })), 0);
}

/** Payload of the next event, which must be of this type. */
function event(sock: QuicSock, type: number): Uint8Array {
  const { data, flags } = receive(sock);
  assert.equal(flags, n.MSG_QUIC_NOTIFICATION | n.MSG_EOR);
  assert.equal(data[0], type);
  return data.subarray(1);
}

function update(sock: QuicSock): { id: number; state: number; errcode: number; finalsz: number } {
  return streamUpdate.decode(event(sock, n.QUIC_EVENT_STREAM_UPDATE));
}

/** All stream updates that wait, by state. */
function updates(sock: QuicSock): Map<number, { id: number; state: number; errcode: number; finalsz: number }> {
  const found = new Map<number, ReturnType<typeof update>>();
  while (sock.list.firstEvent() !== null) {
    const one = update(sock);
    found.set(one.state, one);
  }
  return found;
}

describe("option EVENT", () => {
  for (let type = 1; type < n.QUIC_EVENT_MAX; type++) {
    test(`event ${type} is off, can be switched on, read, and off again`, () => {
      const { client } = new SocketPair();
      const get = (): unknown => getOption(client, n.QUIC_SOCKOPT_EVENT, eventOption.encode({ type, on: 0 }));
      assert.deepEqual(get(), eventOption.encode({ type, on: 0 }));
      want(client, type);
      assert.deepEqual(get(), eventOption.encode({ type, on: 1 }));
      want(client, type, 0);
      assert.deepEqual(get(), eventOption.encode({ type, on: 0 }));
    });
  }

  test("types 0 and 10 are EINVAL", () => {
    const { client } = new SocketPair();
    for (const type of [0, n.QUIC_EVENT_MAX, 255]) {
      assert.equal(setOption(client, n.QUIC_SOCKOPT_EVENT, eventOption.encode({ type, on: 1 })), "EINVAL");
      assert.equal(getOption(client, n.QUIC_SOCKOPT_EVENT, eventOption.encode({ type })), "EINVAL");
    }
  });
});

describe("events beside the notification cases", () => {
  test("STREAM_UPDATE of a receiver: RECV with the first data, RECVD with all of it", () => {
    const sockets = new SocketPair();
    want(sockets.server, n.QUIC_EVENT_STREAM_UPDATE);
    send(sockets.client, "quic", 0, NEW);
    sockets.settle();
    assert.deepEqual(update(sockets.server), { id: 0, state: n.QUIC_STREAM_RECV_STATE_RECV, errcode: 0, finalsz: 0 });
    send(sockets.client, "end", 0, FIN);
    sockets.settle();
    assert.deepEqual(update(sockets.server), { id: 0, state: n.QUIC_STREAM_RECV_STATE_RECVD, errcode: 0, finalsz: 7 });
    assert.deepEqual(receiveAll(sockets.server), ["0 fin: quicend"]);
  });

  test("STREAM_UPDATE of STOP_SENDING: RESET_SENT with the peer's code", () => {
    const sockets = new SocketPair();
    want(sockets.client, n.QUIC_EVENT_STREAM_UPDATE);
    send(sockets.client, "quic", 0, NEW);
    sockets.settle();
    setOption(sockets.server, n.QUIC_SOCKOPT_STREAM_STOP_SENDING, errInfo.encode({ stream_id: 0, errcode: 12 }));
    sockets.settle();
    const told = updates(sockets.client).get(n.QUIC_STREAM_SEND_STATE_RESET_SENT);
    assert.deepEqual(told, { id: 0, state: n.QUIC_STREAM_SEND_STATE_RESET_SENT, errcode: 12, finalsz: 4 });
  });

  test("STREAM_MAX_DATA and STREAM_MAX_STREAM say what the peer allows", () => {
    const limits = { initialMaxStreamDataUni: 1000, streamWindowMaxBytes: 1000, initialMaxStreamsUni: 1 };
    const sockets = new SocketPair({ server: limits });
    const { client, server } = sockets;
    want(client, n.QUIC_EVENT_STREAM_MAX_DATA);
    want(client, n.QUIC_EVENT_STREAM_MAX_STREAM);
    send(client, new Uint8Array(1000), 2, NEW);
    sockets.settle();
    receiveAll(server);
    sockets.settle();
    const credit = streamMaxData.decode(event(client, n.QUIC_EVENT_STREAM_MAX_DATA));
    assert.deepEqual(credit, { id: 2, max_data: 2000 });
    send(client, "", 2, FIN);
    sockets.settle();
    receiveAll(server);
    sockets.settle();
    const last = event(client, n.QUIC_EVENT_STREAM_MAX_STREAM);
    assert.equal(new DataView(last.buffer, last.byteOffset).getBigUint64(0, true), 6n); // one more: 2, then 6
  });

  test("events are never lost: of one thing the latest is told, and they stand before data", () => {
    const sockets = new SocketPair();
    want(sockets.server, n.QUIC_EVENT_STREAM_UPDATE);
    for (let id = 0; id < 4 * 90; id += 4) send(sockets.client, "x", id, NEW | FIN);
    sockets.settle();
    const ids = new Set<number>();
    while (sockets.server.list.firstEvent() !== null) ids.add(update(sockets.server).id);
    assert.equal(ids.size, 90);
    assert.equal(receiveAll(sockets.server).length, 90);
  });
});

describe("recvmsg", () => {
  test("a short buffer leaves the rest: of a stream, a datagram, an event", () => {
    const sockets = new SocketPair();
    const { client, server } = sockets;
    want(server, n.QUIC_EVENT_STREAM_UPDATE);
    send(client, "stream data", 0, NEW | FIN);
    sendPlain(client, { data: text("datagram"), flags: n.MSG_QUIC_DATAGRAM });
    sockets.settle();
    assert.deepEqual([receive(server, 1).flags, receive(server, 1).flags], Array(2).fill(n.MSG_QUIC_NOTIFICATION));
    assert.equal(receive(server).flags, n.MSG_QUIC_NOTIFICATION | n.MSG_EOR);
    while (server.list.firstEvent() !== null) receive(server);
    const parts = [receive(server, 7), receive(server, 100)];
    assert.deepEqual(
      parts.map(({ data, stream }) => [String.fromCharCode(...data), stream?.stream_flags]),
      [
        ["stream ", 0],
        ["data", FIN],
      ],
    );
    assert.equal(receive(server, 4).flags, n.MSG_QUIC_DATAGRAM);
    const rest = receive(server, 100);
    assert.deepEqual([String.fromCharCode(...rest.data), rest.flags], ["gram", n.MSG_QUIC_DATAGRAM | n.MSG_EOR]);
    assert.equal(named(recvmsg(server, 100, 0) as number), "EAGAIN");
  });

  test("MSG_PEEK leaves everything, FIN included", () => {
    const sockets = new SocketPair();
    send(sockets.client, "peek me", 0, NEW | FIN);
    sockets.settle();
    const peeks = [4, 100, 2, 100].map((size) => receive(sockets.server, size, n.MSG_PEEK));
    assert.deepEqual(
      peeks.map(({ data, stream }) => [String.fromCharCode(...data), stream?.stream_flags]),
      [
        ["peek", 0],
        ["peek me", FIN],
        ["pe", 0],
        ["peek me", FIN],
      ],
    );
    assert.deepEqual(receiveAll(sockets.server), ["0 fin: peek me"]);
  });

  test("a datagram that is empty or too large is EMSGSIZE; where the peer takes none, EINVAL", () => {
    const { client } = new SocketPair();
    const flags = n.MSG_QUIC_DATAGRAM;
    assert.equal(sendPlain(client, { flags }), "EMSGSIZE");
    assert.equal(sendPlain(client, { data: new Uint8Array(4096), flags }), "EMSGSIZE");
    const none = new SocketPair({ server: { maxDatagramFrameBytes: 0 } });
    assert.equal(sendPlain(none.client, { data: text("x"), flags }), "EINVAL");
  });
});

describe("close cases 3-7", () => {
  test("3, 4 close info reads zero, is set and read; its phrase has 63 characters at most", () => {
    const { client } = new SocketPair();
    assert.deepEqual(getOption(client, n.QUIC_SOCKOPT_CONNECTION_CLOSE), new Uint8Array(72));
    const value = connectionClose.encode({ errcode: 10, frame: 9, phrase: text("this is app err") });
    assert.equal(setOption(client, n.QUIC_SOCKOPT_CONNECTION_CLOSE, value), 0);
    const read = connectionClose.decode(getOption(client, n.QUIC_SOCKOPT_CONNECTION_CLOSE) as Uint8Array);
    assert.deepEqual([read.errcode, read.frame], [10, 0]);
    const long = connectionClose.encode({ phrase: new Uint8Array(64).fill(65) });
    assert.equal(setOption(client, n.QUIC_SOCKOPT_CONNECTION_CLOSE, long), "EINVAL");
  });

  test("5, 6 the peer's close is an event with code and phrase, can be read afterwards, and data that came before can be, too", () => {
    const sockets = new SocketPair();
    const { client, server } = sockets;
    want(server, n.QUIC_EVENT_CONNECTION_CLOSE);
    send(client, "last words", 0, NEW);
    sockets.settle();
    sockets.pair.clientConn.close("application", 10n, "this is app err");
    sockets.settle();
    const told = connectionClose.decode(event(server, n.QUIC_EVENT_CONNECTION_CLOSE));
    assert.deepEqual([told.errcode, String.fromCharCode(...told.phrase.filter((c) => c > 0))], [10, "this is app err"]);
    assert.deepEqual(receiveAll(server), ["0: last words"]);
    assert.equal(named(recvmsg(server, 100, 0) as number), "ENOTCONN");
    assert.equal(send(server, "x", 0, 0), "EPIPE");
    assert.equal(connectionClose.decode(getOption(server, n.QUIC_SOCKOPT_CONNECTION_CLOSE) as Uint8Array).errcode, 10);
    assert.equal(server.poll(false), n.POLLIN | n.POLLOUT | n.POLLRDHUP | n.POLLHUP | n.POLLERR);
  });

  test("7 an idle timeout is an event of zeros", () => {
    const sockets = new SocketPair();
    want(sockets.client, n.QUIC_EVENT_CONNECTION_CLOSE);
    sockets.pair.filter = () => false;
    sockets.pair.advance(60_000_000);
    assert.deepEqual(event(sockets.client, n.QUIC_EVENT_CONNECTION_CLOSE), new Uint8Array(72));
  });
});
