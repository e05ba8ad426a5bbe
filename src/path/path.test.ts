import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ADDR_COLS, ADDR_IFINDEX, ADDR_IP0, ADDR_IP3, ADDR_LOCAL_IP3, ADDR_PORT } from "../port/udp.js";
import { AMPLIFICATION_FACTOR } from "../proto/limits.js";
import { Path } from "./path.js";

function table(...rows: Record<number, number>[]): Int32Array {
  const out = new Int32Array(rows.length * ADDR_COLS);
  for (const [row, columns] of rows.entries()) {
    for (const [column, value] of Object.entries(columns)) out[row * ADDR_COLS + Number(column)] = value;
  }
  return out;
}

const PEER = { [ADDR_IP3]: 0x7f000001, [ADDR_PORT]: 4433 };
const LOCAL = { [ADDR_LOCAL_IP3]: 0x7f000002, [ADDR_IFINDEX]: 1 };

describe("address of a path", () => {
  test("a datagram from another address or port is not of this path", () => {
    const path = new Path(1452);
    const sources = table({}, PEER, { ...PEER, [ADDR_PORT]: 4434 }, { ...PEER, [ADDR_IP0]: 1 });
    path.setAddress(sources, 1, 0);
    assert.deepEqual(
      [0, 1, 2, 3].map((row) => path.matches(sources, row, 0)),
      [false, true, false, false],
    );
  });

  test("local addresses are compared where both are known, interfaces are not", () => {
    const path = new Path(1452);
    const sources = table(
      PEER,
      { ...PEER, ...LOCAL },
      { ...PEER, ...LOCAL, [ADDR_IFINDEX]: 2 },
      {
        ...PEER,
        [ADDR_LOCAL_IP3]: 0x7f000003,
      },
    );
    path.setAddress(sources, 0, 0);
    assert.equal(path.matches(sources, 3, 0), true);
    path.setAddress(sources, 1, 0);
    assert.deepEqual(
      [0, 1, 2, 3].map((row) => path.matches(sources, row, 0)),
      [true, true, true, false],
    );
  });

  test("while the kernel chooses the local address, it is known from where packets came", () => {
    const path = new Path(1452);
    const sources = table(PEER, { ...PEER, ...LOCAL }, { ...PEER, [ADDR_LOCAL_IP3]: 0x7f000003 });
    path.setAddress(sources, 0, 0);
    assert.deepEqual(
      [0, 1, 2].map((row) => path.isNewLocal(sources, row)),
      [false, true, true],
    );
    assert.equal(path.noteLocal(sources, 1), false);
    assert.deepEqual(
      [0, 1, 2].map((row) => path.isNewLocal(sources, row)),
      [false, false, true],
    );
    assert.equal(path.noteLocal(sources, 2), true);
    assert.deepEqual(
      [0, 1, 2].map((row) => path.isNewLocal(sources, row)),
      [false, true, false],
    );
    path.setAddress(sources, 1, 0);
    assert.equal(path.isNewLocal(sources, 2), false, "ours to choose");
  });
});

describe("anti-amplification limit", () => {
  test("9000-8.1-01 at most three times the received bytes are sent before validation", () => {
    const path = new Path(1200);
    assert.equal(path.sendAllowance(), 0);
    path.onDatagramReceived(1200);
    let sent = 0;
    while (path.sendAllowance() >= 1200) {
      path.onDatagramSent(1200);
      sent += 1200;
    }
    assert.equal(sent, AMPLIFICATION_FACTOR * 1200);
    assert.equal(path.sendAllowance(), 0);
  });

  test("9000-8.1-02 every datagram counts with all of its bytes, odd sizes included", () => {
    const path = new Path(1200);
    path.onDatagramReceived(41);
    path.onDatagramSent(100);
    assert.equal(path.sendAllowance(), 23);
    path.onDatagramReceived(1);
    assert.equal(path.sendAllowance(), 26);
  });

  test("RFC 9000 §8.1 a validated address has no limit", () => {
    const path = new Path(1200);
    path.validated = true;
    path.onDatagramSent(1e9);
    assert.equal(path.sendAllowance(), Infinity);
  });
});

for (const cidBytes of [4, 5, 8, 12, 13, 20]) {
  test(`RFC 9000 §9.5 whether the peer sends to the same id of ours, of ${cidBytes} bytes, on two paths`, () => {
    const [one, other] = [new Path(1200), new Path(1200)];
    const packet = Uint8Array.from({ length: 24 }, (_, i) => (i === 0 ? 0x40 : i));
    one.noteDcid(packet, 1, cidBytes);
    for (let at = 1; at < packet.length; at++) {
      const changed = packet.slice();
      changed[at] ^= 0x80;
      other.noteDcid(changed, 1, cidBytes);
      assert.equal(one.hasSameDcid(other), at > cidBytes, `byte ${at}`);
    }
  });
}
