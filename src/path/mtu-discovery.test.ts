import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { MTU_PROBE_TRIES, MTU_RAISE_MICROS, MTU_SEARCH_STEP_BYTES } from "../proto/limits.js";
import { MtuDiscovery } from "./mtu-discovery.js";

const BASE = 1200;

/** Answers every probe as a path that carries `carriedBytes` does; returns the sizes probed. */
function search(mtu: MtuDiscovery, carriedBytes: number, nowMicros = 0): number[] {
  const probed: number[] = [];
  for (let bytes = mtu.wantedBytes(nowMicros); bytes !== 0; bytes = mtu.wantedBytes(nowMicros)) {
    probed.push(bytes);
    mtu.onProbeSent(bytes);
    assert.equal(mtu.wantedBytes(nowMicros), 0, "one probe at a time");
    if (bytes <= carriedBytes) mtu.onProbeAcked(bytes);
    else mtu.onProbeLost(bytes);
    assert.ok(probed.length < 100, "the search ends");
  }
  return probed;
}

function times(count: number, bytes: number): number[] {
  return Array.from({ length: count }, () => bytes);
}

describe("path MTU search", () => {
  test("RFC 9000 §14.3 begins with 1200 bytes and raises them only when a probe was acknowledged", () => {
    const mtu = new MtuDiscovery(1452);
    assert.equal(mtu.currentBytes, BASE);
    assert.equal(mtu.wantedBytes(0), 1452);
    mtu.onProbeSent(1452);
    assert.equal(mtu.currentBytes, BASE);
    mtu.onProbeAcked(1452);
    assert.equal(mtu.currentBytes, 1452);
    assert.equal(mtu.wantedBytes(0), 0);
  });

  test("the bound first: a path that carries it costs one probe", () => {
    assert.deepEqual(search(new MtuDiscovery(8952), 9000), [8952]);
    assert.deepEqual(search(new MtuDiscovery(1201), 9000), [1201]);
    assert.deepEqual(search(new MtuDiscovery(BASE), 9000), []);
  });

  test("RFC 8899 §5.1.2 a size has failed after MTU_PROBE_TRIES lost probes, not after one", () => {
    const mtu = new MtuDiscovery(1452);
    for (let lost = 1; lost < MTU_PROBE_TRIES; lost++) {
      mtu.onProbeSent(mtu.wantedBytes(0));
      mtu.onProbeLost(1452);
      assert.equal(mtu.wantedBytes(0), 1452);
    }
    mtu.onProbeSent(1452);
    mtu.onProbeLost(1452);
    assert.equal(mtu.wantedBytes(0), 1326, "half of what is left");
    assert.equal(mtu.probesLost, MTU_PROBE_TRIES);
  });

  test("after the bound comes the size of Ethernet", () => {
    const probed = search(new MtuDiscovery(8952), 1452);
    assert.deepEqual(probed.slice(0, 4), [...times(MTU_PROBE_TRIES, 8952), 1452]);
  });

  test("what is found is within MTU_SEARCH_STEP_BYTES of what the path carries, whatever it carries", () => {
    fc.assert(
      fc.property(fc.integer({ min: BASE, max: 12_288 }), fc.integer({ min: BASE, max: 12_288 }), (bound, carried) => {
        const mtu = new MtuDiscovery(bound);
        const probed = search(mtu, carried);
        const best = Math.min(bound, carried);
        assert.ok(mtu.currentBytes <= best && mtu.currentBytes > best - MTU_SEARCH_STEP_BYTES);
        assert.ok(probed.every((bytes) => bytes > BASE && bytes <= bound));
        assert.ok(probed.length <= MTU_PROBE_TRIES * 16, `${probed.length} probes`);
        if (carried >= bound) assert.equal(mtu.currentBytes, bound);
      }),
    );
  });

  test("RFC 9000 §18.2 the peer's max_udp_payload_size bounds it", () => {
    const mtu = new MtuDiscovery(8952);
    mtu.limit(1300);
    mtu.limit(65_527);
    assert.deepEqual(search(mtu, 9000), [1300]);
  });

  test("RFC 8899 §5.1.1 a search begins anew after the raise timer, and finds a path that carries more", () => {
    const mtu = new MtuDiscovery(1452);
    search(mtu, 1300, 1000);
    const found = mtu.currentBytes;
    assert.deepEqual(search(mtu, 1452, 1000 + MTU_RAISE_MICROS - 1), []);
    assert.deepEqual(search(mtu, 1300, 1000 + MTU_RAISE_MICROS).slice(0, 3), times(3, 1452), "still smaller");
    assert.equal(mtu.currentBytes, found);
    assert.deepEqual(search(mtu, 1452, 1000 + 2 * MTU_RAISE_MICROS), [1452]);
    assert.equal(mtu.currentBytes, 1452);
    assert.deepEqual(search(mtu, 1452, 1000 + 9 * MTU_RAISE_MICROS), [], "nothing is left to find");
  });

  test("a probe that was declared lost and then acknowledged did arrive", () => {
    const mtu = new MtuDiscovery(1452);
    mtu.onProbeSent(1452);
    mtu.onProbeLost(1452);
    mtu.onProbeAcked(1452);
    assert.equal(mtu.currentBytes, 1452);
  });
});

describe("black holes", () => {
  test("RFC 8899 §4.3 back to the base size, and a new search below the size that failed", () => {
    const mtu = new MtuDiscovery(1452);
    search(mtu, 1452);
    mtu.onBlackHole();
    assert.equal(mtu.currentBytes, BASE);
    assert.equal(mtu.blackHoles, 1);
    const probed = search(mtu, 1272);
    assert.ok(probed.length > 0 && probed.every((bytes) => bytes < 1452));
    assert.ok(mtu.currentBytes > 1272 - MTU_SEARCH_STEP_BYTES && mtu.currentBytes <= 1272);
  });

  test("a probe from before it proves nothing any more", () => {
    const mtu = new MtuDiscovery(8952);
    search(mtu, 1452);
    mtu.onBlackHole();
    mtu.onProbeAcked(1452);
    mtu.onProbeLost(1452);
    assert.equal(mtu.currentBytes, BASE);
  });

  test("at the base size there is nowhere to go", () => {
    const mtu = new MtuDiscovery(1452);
    mtu.onBlackHole();
    assert.equal(mtu.blackHoles, 0);
    assert.equal(mtu.wantedBytes(0), 1452);
  });
});

describe("what others say about sizes", () => {
  test("a probe that our own system refuses fails its size at once", () => {
    const mtu = new MtuDiscovery(8952);
    mtu.onProbeSent(mtu.wantedBytes(0));
    mtu.onProbeTooBig(8952);
    assert.equal(mtu.wantedBytes(0), 1452);
    mtu.onProbeTooBig(1452);
    assert.equal(mtu.wantedBytes(0), 1452, "nothing of that size was on its way");
  });

  test("9000-14.2.1-01 an ICMP message that claims less than 1200 bytes is ignored", () => {
    const mtu = new MtuDiscovery(1452);
    mtu.onProbeSent(1452);
    for (const bytes of [0, 40, 68, 1199]) mtu.onIcmpTooBig(bytes);
    assert.equal(mtu.wantedBytes(0), 0, "the probe is still on its way");
    mtu.onProbeAcked(1452);
    assert.equal(mtu.currentBytes, 1452);
  });

  test("9000-14.2.1-02 an ICMP message raises nothing and lowers nothing that was proven", () => {
    const mtu = new MtuDiscovery(1452);
    search(mtu, 1452);
    mtu.onIcmpTooBig(1300);
    assert.equal(mtu.currentBytes, 1452);
    const other = new MtuDiscovery(1452);
    other.onIcmpTooBig(1400);
    assert.equal(other.currentBytes, BASE);
    other.onProbeSent(1452);
    other.onIcmpTooBig(1400);
    assert.equal(other.currentBytes, BASE);
  });

  test("RFC 9000 §14.2.1 an ICMP message ends the wait for a probe, and the size that it names is tried next", () => {
    const mtu = new MtuDiscovery(1452);
    mtu.onProbeSent(mtu.wantedBytes(0));
    mtu.onIcmpTooBig(1372);
    assert.equal(mtu.wantedBytes(0), 1372);
    mtu.onProbeSent(1372);
    mtu.onProbeAcked(1372);
    assert.equal(mtu.currentBytes, 1372);
    assert.equal(mtu.wantedBytes(0), 1452, "the message may have been forged");
  });

  test("RFC 9000 §14.2.1 forged ICMP messages about every probe keep no size down that the path carries", () => {
    const mtu = new MtuDiscovery(1452);
    const probes: number[] = [];
    for (let bytes = mtu.wantedBytes(0); bytes !== 0; bytes = mtu.wantedBytes(0)) {
      mtu.onProbeSent(bytes);
      probes.push(bytes);
      mtu.onIcmpTooBig(BASE); // sooner than any acknowledgement
    }
    assert.equal(mtu.currentBytes, BASE);
    for (const bytes of probes) mtu.onProbeAcked(bytes);
    assert.equal(mtu.currentBytes, 1452);
    assert.equal(mtu.wantedBytes(0), 0);
    mtu.onBlackHole();
    mtu.onProbeAcked(1452);
    assert.equal(mtu.currentBytes, BASE, "what arrived before a black hole proves nothing");
  });
});
