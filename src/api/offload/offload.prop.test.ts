import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { newBench, plainPacket, protect, secrets } from "./reference.contract.js";
import type { ReceivedPacket } from "./receive.js";

const PEER = { address: "192.0.2.1", port: 4433 };
const CIPHERS = ["aes-128-gcm", "aes-256-gcm", "aes-128-ccm", "chacha20-poly1305"] as const;

describe("random batches", () => {
  test("any batch, however it is cut into pieces, leaves as node:crypto makes it and is opened again", async () => {
    const got: ReceivedPacket[] = [];
    const receiver = await newBench({ onreceive: (packets) => got.push(...packets) });
    const sender = await newBench();
    const shape = fc.record({
      cipher: fc.constantFrom(...CIPHERS),
      cid: fc.uint8Array({ maxLength: 20 }),
      firstPn: fc.nat({ max: 2 ** 40 }),
      pnLength: fc.integer({ min: 1, max: 4 }),
      phases: fc.array(fc.constantFrom(0 as const, 1 as const), { minLength: 1, maxLength: 16 }),
      extra: fc.nat({ max: 300 }),
      lastShorter: fc.nat({ max: 300 }),
      cuts: fc.array(fc.nat(), { maxLength: 7 }),
    });
    fc.assert(
      fc.property(shape, ({ cipher, cid, firstPn, pnLength, phases, extra, lastShorter, cuts }) => {
        const keys = [secrets(cipher, "a"), secrets(cipher, "b", "a")];
        for (const keyPhase of [0, 1] as const) {
          sender.socket.addTxFlow({ ...keys[keyPhase], ...PEER, cid, keyPhase });
          receiver.socket.addRxFlow({ ...keys[keyPhase], ...PEER, cid, keyPhase, nextPacketNumber: firstPn });
        }
        const stride = cid.length + 5 + extra;
        const plain = phases.map((keyPhase, i) => {
          const bytes = i === phases.length - 1 ? stride - Math.min(lastShorter, extra) : stride;
          return plainPacket(cid, firstPn + i, bytes, keyPhase, pnLength);
        });
        const whole = new Uint8Array(Buffer.concat(plain));
        const ends = [...cuts.map((cut) => cut % whole.length), whole.length].sort((a, b) => a - b);
        const pieces = ends.map((end, i) => whole.subarray(ends[i - 1] ?? 0, end));
        const options = { ...PEER, gsoSize: stride + 16, nextPacketNumber: firstPn, cidLength: cid.length };
        assert.equal(sender.socket.send(pieces, options), whole.length);
        const wire = sender.udp.sent.splice(0);
        assert.deepEqual(
          wire.map(({ data }) => data),
          plain.map((each, i) => protect(each, cid.length, firstPn + i, keys[phases[i]])),
        );
        receiver.udp.arrive(...wire);
        assert.deepEqual(
          got.splice(0).map(({ data, opened }) => [data, opened?.packetNumber, opened?.keyPhase]),
          plain.map((each, i) => [each, firstPn + i, phases[i]]),
        );
        sender.socket.deleteTxFlow({ ...PEER, cid });
        receiver.socket.deleteRxFlow({ ...PEER, cid });
      }),
      { numRuns: 150 },
    );
  });

  test("whatever arrives is handed on as it came when it does not open, and nothing throws", async () => {
    const got: ReceivedPacket[] = [];
    const { socket, udp } = await newBench({ onreceive: (packets) => got.push(...packets) });
    for (const cipher of CIPHERS) {
      const cid = Uint8Array.of(CIPHERS.indexOf(cipher), 1);
      socket.addRxFlow({ ...secrets(cipher, "x"), cid });
    }
    const datagram = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc
        .tuple(fc.integer({ min: 0x40, max: 0x7f }), fc.nat({ max: 3 }), fc.uint8Array({ maxLength: 60 }))
        .map(([first, flow, rest]) => Uint8Array.of(first, flow, 1, ...rest)),
    );
    fc.assert(
      fc.property(fc.array(datagram, { minLength: 1, maxLength: 20 }), (datagrams) => {
        udp.arrive(...datagrams.map((data) => ({ ...PEER, data: data.slice() })));
        assert.deepEqual(
          got.splice(0).map(({ data, opened }) => [data, opened]),
          datagrams.map((data) => [new Uint8Array(data), null]),
        );
      }),
      { numRuns: 200 },
    );
  });
});
