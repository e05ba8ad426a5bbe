/** A host with several sockets, over both datapaths. */

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { ADDR_COLS, type RxBatch, type TxBatch, type UdpProvider } from "../port/udp.js";
import { systemClock } from "./clock.js";
import { type Driven, LoopHost } from "./loop.js";
import { nativeUdp } from "./native/udp.js";
import { portableUdp } from "./portable/udp.js";
import { Peer, pattern, txBatch, until } from "./udp.contract.js";

const LOOPBACK = { address: "127.0.0.1", port: 0 };

/** Answers each datagram from the socket after the one that it came in by, and says which sockets are in use. */
class Turncoat implements Driven<string> {
  onWork: (() => void) | null = null;
  readonly cameBy: number[] = [];
  readonly used = new Set<number>();
  hasLeft = false;
  shift = 0;
  private readonly answers: { bytes: Uint8Array; dest: Int32Array; socket: number }[] = [];

  receive(rx: RxBatch): void {
    for (let row = 0; row < rx.count; row++) {
      const [off, length, source] = rx.rows.subarray(4 * row);
      const dest = rx.sources.slice(source * ADDR_COLS, (source + 1) * ADDR_COLS).fill(0, 5);
      this.cameBy.push(rx.socket);
      this.answers.push({ bytes: rx.buf.slice(off, off + length), dest, socket: rx.socket + this.shift });
    }
  }

  transmit(tx: TxBatch): boolean {
    const answer = this.answers.shift();
    if (answer === undefined) return false;
    tx.buf.set(answer.bytes, 0);
    tx.dests.set(answer.dest, 0);
    tx.rows.set([0, answer.bytes.length, 0, 0, 0], 0);
    tx.count = tx.destCount = 1;
    tx.used = answer.bytes.length;
    tx.socket = answer.socket;
    return this.answers.length > 0;
  }

  takeLeftSocket(): boolean {
    const { hasLeft } = this;
    this.hasLeft = false;
    return hasLeft;
  }

  usesSocket(socket: number): boolean {
    return this.used.has(socket);
  }

  timeout(): void {}
  nextDeadline(): number {
    return Infinity;
  }
  accept(): null {
    return null;
  }
  takeEventful(): null {
    return null;
  }
  destroy(): void {}
}

for (const provider of [nativeUdp, portableUdp] as UdpProvider[]) {
  describe(`sockets of a host, ${provider.name}`, () => {
    const endpoint = new Turncoat();
    const owner = { onAccept() {}, onEvents() {}, onError() {} };
    let host: LoopHost<string, Turncoat>;
    after(() => host.close());

    test("a batch names the socket that it came in by, and leaves by the one that it names", async () => {
      host = await LoopHost.open(endpoint, provider, LOOPBACK, owner, systemClock);
      assert.equal(await host.addSocket({ address: "127.0.0.2", port: 0 }), 1);
      assert.equal(host.socketOf(1)?.address, "127.0.0.2");
      const peer = await Peer.open(provider);
      const second = host.socketOf(1)?.port as number;
      const send = (to: string, port: number): unknown =>
        peer.socket.send(txBatch([{ bytes: pattern(99, 1), to, port }]));
      send("127.0.0.1", host.socket.port);
      await peer.expect(1);
      endpoint.shift = -1;
      send("127.0.0.2", second);
      await peer.expect(2);
      endpoint.shift = 1;
      send("127.0.0.1", host.socket.port);
      const ports = (await peer.expect(3)).map(({ port }) => port);
      assert.deepEqual(endpoint.cameBy, [0, 1, 0]);
      assert.deepEqual(ports, [host.socket.port, host.socket.port, second]);
      assert.deepEqual([host.udpStats.datagramsReceived, host.udpStats.datagramsSent], [3, 3]);
      peer.socket.close();
    });

    test("one that was released goes as soon as no connection uses it, the first one never", async () => {
      endpoint.used.add(1);
      host.releaseSocket(1);
      host.releaseSocket(0);
      endpoint.used.clear();
      endpoint.hasLeft = true;
      host.flush();
      await until(
        () => host.socketOf(1) === null,
        () => "the socket is still there",
      );
      assert.notEqual(host.socketOf(0), null);
      assert.equal(host.udpStats.datagramsReceived, 3, "what it did still counts");
      const unused = await host.addSocket(LOOPBACK);
      assert.equal(unused, 2, "a number is not given twice");
      host.releaseSocket(unused);
      assert.equal(host.socketOf(unused), null);
    });

    test("an address that is not there is the system's error, and changes nothing", async () => {
      await assert.rejects(host.addSocket({ address: "192.0.2.1", port: 0 }), { code: "EADDRNOTAVAIL" });
    });

    test("one that opens while the host closes is closed at once", async () => {
      const late = host.addSocket(LOOPBACK);
      host.close();
      await assert.rejects(late, { code: "ERR_INVALID_STATE" });
    });
  });
}
