/**
 * A kernel that refuses to send, in all its ways, under whole connections: no byte is lost, no packet number is used twice
 * under one key, and nothing that was sealed leaves twice.
 */

import assert from "node:assert/strict";
import { constants } from "node:os";
import { describe, test } from "node:test";
import { sharedDatapath } from "#src/api/datapath.js";
import {
  OPEN_COLS,
  OPEN_KEY,
  OPEN_OK,
  OPEN_PN_HI,
  OPEN_PN_LO,
  OPEN_STATUS,
  SEAL_COLS,
  SEAL_KEY,
  SEAL_PN_HI,
  SEAL_PN_LO,
} from "#src/port/aead.js";
import { TX_COLS, TX_DEST, TX_ECN, TX_FLAGS, TX_LEN, type TxBatch, type UdpSocket } from "#src/port/udp.js";
import { failNextSends } from "#src/runtime/native/udp.js";
import { content, readAll, sha256, withBench } from "./support.js";

// Faults are the native socket's; each test file is a process of its own.
process.env["NETQUIC_DATAPATH"] = "native";
delete process.env["NETQUIC_UDP"];
const { udp, aead } = sharedDatapath();

const MIB = 2 ** 20;
const { EAGAIN, ENOBUFS, EPERM, EMSGSIZE, EIO, EINVAL } = constants.errno;

/** Smaller ones are copies: a client's first packets are opened in one before there is a connection to open them. */
const MIN_SLAB_BYTES = 64 * 1024;

interface Fault {
  /** 0: the kernel takes the first message of a batch only. */
  errno: number;
  /** So many calls of the kernel in a row fail, */
  count: number;
  /** at every so many batches. */
  every: number;
  /** Only batches that begin with a train. */
  trains?: boolean;
}

const FAULTS: [name: string, fault: Fault, expected: (sockets: UdpSocket[]) => void][] = [
  ["EAGAIN", { errno: EAGAIN, count: 2, every: 3 }, blocks],
  ["ENOBUFS", { errno: ENOBUFS, count: 3, every: 4 }, blocks],
  ["ENOBUFS until datagrams are given up", { errno: ENOBUFS, count: 12, every: 20 }, losesSome],
  ["EPERM", { errno: EPERM, count: 1, every: 10 }, losesSome],
  ["EMSGSIZE of trains", { errno: EMSGSIZE, count: 4, every: 4, trains: true }, keepsGso],
  ["EMSGSIZE of a datagram", { errno: EMSGSIZE, count: 8, every: 10 }, losesSome],
  ["EIO", { errno: EIO, count: 1, every: 2, trains: true }, losesNothing],
  ["EINVAL", { errno: EINVAL, count: 1, every: 2, trains: true }, losesNothing],
  ["a partial batch", { errno: 0, count: 2, every: 2 }, keepsGso],
];

/** What `some` counters of the sockets add up to. */
function sum(sockets: UdpSocket[], counter: "sendErrors" | "sendBlocked"): number {
  return sockets.reduce((total, { stats }) => total + stats[counter], 0);
}

function losesNothing(sockets: UdpSocket[]): void {
  assert.equal(sum(sockets, "sendErrors"), 0);
}

function losesSome(sockets: UdpSocket[]): void {
  assert.ok(sum(sockets, "sendErrors") > 0);
}

function blocks(sockets: UdpSocket[]): void {
  losesNothing(sockets);
  assert.ok(sum(sockets, "sendBlocked") > 3);
}

function keepsGso(sockets: UdpSocket[]): void {
  losesNothing(sockets);
  for (const { rung } of sockets) assert.match(rung, /^gso/);
}

/** Watches every batch that the process seals and opens: a packet number is for one packet of a key. */
class NonceWatch {
  sealed = 0;
  opened = 0;
  private readonly lastSealed = new Map<number, number>();
  private readonly seen = new Map<number, Set<number>>();

  constructor() {
    const newKey = aead.newKey.bind(aead);
    aead.newKey = (id, key, iv) => {
      const slot = newKey(id, key, iv);
      this.lastSealed.delete(slot);
      this.seen.delete(slot);
      return slot;
    };
    const seal = aead.seal.bind(aead);
    aead.seal = (batch) => {
      const count = seal(batch);
      for (let at = 0; at < count * SEAL_COLS; at += SEAL_COLS) {
        const pn = number(batch.rows, at + SEAL_PN_HI, at + SEAL_PN_LO);
        const key = batch.rows[at + SEAL_KEY] as number;
        assert.ok(pn > (this.lastSealed.get(key) ?? -1), `packet number ${pn} was sealed again`);
        this.lastSealed.set(key, pn);
        this.sealed++;
      }
      return count;
    };
    const open = aead.open.bind(aead);
    aead.open = (batch) => {
      const opened = open(batch);
      if (batch.buf.length < MIN_SLAB_BYTES) return opened;
      for (let at = 0; at < batch.count * OPEN_COLS; at += OPEN_COLS)
        if (batch.rows[at + OPEN_STATUS] === OPEN_OK)
          this.onOpened(batch.rows[at + OPEN_KEY] as number, number(batch.rows, at + OPEN_PN_HI, at + OPEN_PN_LO));
      return opened;
    };
  }

  private onOpened(key: number, pn: number): void {
    let numbers = this.seen.get(key);
    if (numbers === undefined) this.seen.set(key, (numbers = new Set()));
    assert.ok(!numbers.has(pn), `packet ${pn} arrived twice`);
    numbers.add(pn);
    this.opened++;
  }
}

function number(rows: Int32Array, high: number, low: number): number {
  return (rows[high] as number) * 2 ** 32 + ((rows[low] as number) >>> 0);
}

/** Whether the first two datagrams leave as one train. */
function beginsWithTrain({ rows, count }: TxBatch): boolean {
  const second = rows.subarray(TX_COLS);
  return count > 1 && [TX_LEN, TX_DEST, TX_ECN, TX_FLAGS].every((column) => rows[column] === second[column]);
}

/** The sockets that are opened from now on fail like this. */
function openFaulty({ errno, count, every, trains }: Fault): { sockets: UdpSocket[]; stop: () => void } {
  const sockets: UdpSocket[] = [];
  const { open } = udp;
  udp.open = async (options, handler) => {
    const socket = await open.call(udp, options, handler);
    const send = socket.send.bind(socket);
    let batches = 0;
    socket.send = (tx) => {
      if (trains === true && !beginsWithTrain(tx)) return send(tx);
      if (++batches % every === 0) failNextSends(socket, errno, count);
      return send(tx);
    };
    sockets.push(socket);
    return socket;
  };
  return { sockets, stop: () => void Object.assign(udp, { open }) };
}

describe("a kernel that does not send", { timeout: 60_000 }, () => {
  const watch = new NonceWatch();
  const up = content(2 * MIB, 3);
  const down = content(2 * MIB, 5);
  for (const [name, fault, expected] of FAULTS) {
    test(
      `${name}: a transfer both ways is whole, and no packet number is used twice`,
      withBench(async (bench) => {
        const { sockets, stop } = openFaulty(fault);
        bench.later(stop);
        const sealedBefore = watch.sealed;
        const { client } = await bench.pair({}, { reuseEndpoint: false }, (session) => {
          session.onstream = async (stream) => {
            const [got] = await Promise.all([
              readAll(stream),
              stream.writer.write(down).then(() => stream.writer.end()),
            ]);
            assert.equal(sha256(got), sha256(up));
          };
        });
        const stream = await client.createBidirectionalStream({ body: up });
        assert.equal(sha256(await readAll(stream)), sha256(down));
        await stream.closed;
        assert.equal(sockets.length, 2);
        expected(sockets);
        const sealed = watch.sealed - sealedBefore;
        assert.ok(sealed > (up.length + down.length) / 1452, `${sealed} packets seen`);
      }),
    );
  }

  test("the watch saw what arrived, too", () => {
    assert.ok(watch.opened > (FAULTS.length * 4 * MIB) / 1452);
    assert.ok(watch.opened <= watch.sealed);
  });
});
