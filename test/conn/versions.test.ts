/** Two engines that come to a version: by the server's choice, by Version Negotiation, with Retry, loss and 0-RTT. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConnectionConfig } from "#src/conn/config.js";
import * as packets from "#src/packet/header.js";
import type { HandshakeInfo } from "#src/port/transport.js";
import { LOCAL_CID_BYTES } from "#src/proto/limits.js";
import { VERSION_1, VERSION_2 } from "#src/proto/version.js";
import { closeOf, Pair, type PairOptions } from "../support/pair.js";

const V2_FIRST = [VERSION_2, VERSION_1];

interface Seen {
  fromClient: boolean;
  type: number;
  version: number;
  dcid: string;
}

/** The long headers of a datagram. */
function longHeaders(fromClient: boolean, bytes: Uint8Array): Seen[] {
  const header = new packets.PacketHeader();
  const seen: Seen[] = [];
  for (let at = 0; at < bytes.length; at = header.end) {
    packets.parseHeader(bytes, at, bytes.length, LOCAL_CID_BYTES, header, true);
    const { type, version, dcidStart, dcidLength } = header;
    if (type === packets.PACKET_SHORT) break;
    const dcid = Buffer.from(bytes.subarray(dcidStart, dcidStart + dcidLength)).toString("hex");
    seen.push({ fromClient, type, version, dcid });
  }
  return seen;
}

class Watched extends Pair {
  readonly seen: Seen[] = [];
  /** Numbers of datagrams that do not arrive. */
  lost = new Set<number>();
  sent = 0;

  constructor(client: Partial<ConnectionConfig>, server: Partial<ConnectionConfig>, options: PairOptions = {}) {
    super({ ...options, client, server });
    this.filter = (fromClient, bytes) => {
      this.seen.push(...longHeaders(fromClient, bytes));
      return !this.lost.has(this.sent++);
    };
  }

  /** Versions of what a side sent, in packets of these types. */
  versions(fromClient: boolean, ...types: number[]): number[] {
    const of = this.seen.filter((each) => each.fromClient === fromClient && types.includes(each.type));
    return [...new Set(of.map(({ version }) => version))];
  }

  /** The handshake is complete in this version at both sides, and data arrives. */
  checkWorks(version: number): void {
    const infos = [this.clientEvents, this.serverEvents].map(
      (events) => events.args("handshake")?.[0] as HandshakeInfo,
    );
    assert.deepEqual(
      infos.map((info) => info?.version),
      [version, version],
    ); // prettier-ignore
    const { clientConn, serverConn } = this;
    const id = clientConn.open(0);
    clientConn.write(id, new Uint8Array(5000), 0, 5000, true);
    this.advance(1_000_000);
    assert.equal(serverConn?.readable(id), 5000);
    assert.deepEqual(this.versions(true, packets.PACKET_HANDSHAKE), [version]);
    assert.deepEqual(this.versions(false, packets.PACKET_HANDSHAKE), [version]);
  }
}

describe("RFC 9368 §2.3 compatible version negotiation", () => {
  test("by default both stay with version 1 and say that they speak version 2", () => {
    const pair = new Watched({}, {});
    pair.settle();
    pair.checkWorks(VERSION_1);
    for (const conn of [pair.clientConn, pair.serverConn]) {
      const info = conn?.handshakeState.peerParams?.versionInformation;
      assert.equal(info?.chosen, VERSION_1);
      assert.deepEqual(info?.available.slice(0, 2), [VERSION_1, VERSION_2]);
      assert.match(info?.available[2]?.toString(16).padStart(8, "0") ?? "", /^(.a){4}$/);
    }
  });

  test("without greasing nothing else is named", () => {
    const pair = new Watched({ grease: false }, { grease: false, versions: [VERSION_1] });
    pair.settle();
    pair.checkWorks(VERSION_1);
    assert.deepEqual(pair.serverConn?.handshakeState.peerParams?.versionInformation?.available, [VERSION_1, VERSION_2]);
    assert.deepEqual(pair.clientConn.handshakeState.peerParams?.versionInformation?.available, [VERSION_1]);
  });

  for (const [title, client, server] of [
    ["a server that wants it", {}, { versions: V2_FIRST }],
    ["a client that wants it", { versions: V2_FIRST }, {}],
  ] as const) {
    test(`RFC 9369 §4.1 ${title} brings both to version 2`, () => {
      const pair = new Watched(client, server);
      pair.settle();
      pair.checkWorks(VERSION_2);
      assert.deepEqual(pair.seen[0], { ...pair.seen[0], type: packets.PACKET_INITIAL, version: VERSION_1 });
      assert.deepEqual(pair.versions(false, packets.PACKET_INITIAL), [VERSION_2]);
      assert.deepEqual(pair.versions(true, packets.PACKET_INITIAL), [VERSION_1, VERSION_2]);
      assert.equal(pair.server.counters.versionNegotiationsSent, 0);
    });
  }

  test("and from version 2 to version 1", () => {
    const pair = new Watched({ firstVersion: VERSION_2 }, { versions: [VERSION_1, VERSION_2] });
    pair.settle();
    pair.checkWorks(VERSION_1);
    assert.deepEqual(pair.versions(true, packets.PACKET_INITIAL), [VERSION_2, VERSION_1]);
  });

  test("a connection can be of version 2 from its first packet on", () => {
    const pair = new Watched({ versions: [VERSION_2] }, {});
    pair.settle();
    pair.checkWorks(VERSION_2);
    assert.deepEqual(pair.versions(true, packets.PACKET_INITIAL), [VERSION_2]);
  });

  test("RFC 9369 §4.1 the parts of a ClientHello come in the original version, however late", () => {
    const pair = new Watched({}, { versions: V2_FIRST }, { clientTls: { keyShareBytes: 1600 } });
    pair.lost.add(1); // the second half
    pair.settle();
    pair.advance(2_000_000);
    pair.checkWorks(VERSION_2);
    assert.deepEqual(pair.versions(false, packets.PACKET_INITIAL), [VERSION_2]);
  });

  test("RFC 9369 §4.1 a Retry keeps the original version", () => {
    const pair = new Watched({}, { versions: V2_FIRST }, { retry: "always" });
    pair.settle();
    pair.checkWorks(VERSION_2);
    assert.deepEqual(pair.versions(false, packets.PACKET_RETRY), [VERSION_1]);
    assert.equal(pair.server.counters.retriesSent, 1);
  });

  test("RFC 8446 §4.1.4 after a HelloRetryRequest", () => {
    const pair = new Watched({}, { versions: V2_FIRST }, { serverTls: { helloRetry: true } });
    pair.settle();
    pair.checkWorks(VERSION_2);
  });

  test("whatever of the first datagrams is lost", () => {
    for (let bitmap = 1; bitmap < 1 << 5; bitmap++) {
      const pair = new Watched({}, { versions: V2_FIRST }, { clientTls: { keyShareBytes: bitmap % 2 ? 32 : 1600 } });
      for (let i = 0; i < 5; i++) if ((bitmap & (1 << i)) !== 0) pair.lost.add(i);
      pair.advance(8_000_000);
      pair.checkWorks(VERSION_2);
    }
  });
});

describe("RFC 9368 §2.1 incompatible version negotiation", () => {
  test("a client begins again with what both speak; RFC 9000 §12.3 from packet 0", () => {
    const pair = new Watched({ versions: V2_FIRST, firstVersion: VERSION_2 }, { versions: [VERSION_1] });
    pair.settle();
    pair.checkWorks(VERSION_1);
    assert.deepEqual(pair.versions(false, packets.PACKET_VERSION_NEGOTIATION), [0]);
    const [first, second] = pair.seen.filter(({ type, fromClient }) => type === packets.PACKET_INITIAL && fromClient);
    assert.deepEqual([first.version, second.version], [VERSION_2, VERSION_1]);
    assert.notEqual(first.dcid, second.dcid);
    assert.equal(pair.server.counters.connectionsAccepted, 1);
  });

  test("what was written before it arrives once", () => {
    const pair = new Watched({ firstVersion: VERSION_2 }, { versions: [VERSION_1] });
    pair.settle();
    const id = pair.clientConn.open(0);
    pair.clientConn.write(id, Uint8Array.of(1, 2, 3), 0, 3, true);
    pair.settle();
    assert.equal(pair.serverConn?.readable(id), 3);
  });

  test("a server that speaks none of its versions ends the attempt", () => {
    const pair = new Watched({ versions: [VERSION_2] }, { versions: [VERSION_1] });
    pair.settle();
    assert.equal(closeOf(pair.clientEvents).type, "version-negotiation");
    assert.match(closeOf(pair.clientEvents).reason, /offers 0x1, 0x/);
  });

  test("a second one is not believed", () => {
    const pair = new Watched({ versions: V2_FIRST, firstVersion: VERSION_2 }, { versions: [VERSION_1] });
    let negotiation: Uint8Array | null = null;
    const watch = pair.filter;
    pair.filter = (fromClient, bytes, ...sockets) => {
      if (!fromClient) negotiation ??= bytes;
      return watch(fromClient, bytes, ...sockets);
    };
    pair.lost.add(2); // the second first flight
    pair.settle();
    assert.ok(negotiation !== null);
    pair.inject(false, negotiation);
    pair.advance(3_000_000);
    pair.checkWorks(VERSION_1);
  });

  test("whatever of the first datagrams is lost", () => {
    for (let bitmap = 1; bitmap < 1 << 5; bitmap++) {
      const pair = new Watched({ versions: V2_FIRST, firstVersion: VERSION_2 }, { versions: [VERSION_1] });
      for (let i = 0; i < 5; i++) if ((bitmap & (1 << i)) !== 0) pair.lost.add(i);
      pair.advance(8_000_000);
      pair.checkWorks(VERSION_1);
    }
  });
});

describe("RFC 9369 §5 tickets and tokens are for one version", () => {
  const info = (pair: Pair): HandshakeInfo => pair.clientEvents.args("handshake")?.[0] as HandshakeInfo;
  const tokenOf = (pair: Pair): Uint8Array => pair.clientEvents.args("newToken")?.[0] as Uint8Array;

  test("they belong to the negotiated version, and a client goes on with it", () => {
    const pair = new Watched({}, { versions: V2_FIRST }, { earlyData: true });
    pair.settle();
    const { ticket } = pair;
    const token = tokenOf(pair);
    pair.seen.length = 0;
    pair.again({ ticket, token, earlyAlpn: "test" });
    pair.settle();
    assert.deepEqual([info(pair).resumed, info(pair).earlyDataAccepted, info(pair).version], [true, true, VERSION_2]);
    assert.deepEqual(pair.versions(true, packets.PACKET_INITIAL), [VERSION_2]);
  });

  test("a client does not use them in another version", () => {
    const pair = new Watched({}, { versions: V2_FIRST }, { earlyData: true });
    pair.settle();
    const { ticket } = pair;
    const token = tokenOf(pair);
    pair.again({ ticket, token, earlyAlpn: "test", config: { firstVersion: VERSION_1 } });
    assert.equal(pair.clientConn.token, null);
    pair.settle();
    assert.deepEqual([info(pair).resumed, info(pair).earlyDataAttempted], [false, false]);
  });

  test("0-RTT in a version that the server leaves is refused, and sent again", () => {
    const server: { versions: number[] } = { versions: [VERSION_1, VERSION_2] };
    const pair = new Watched({}, server, { earlyData: true });
    pair.settle();
    const { ticket } = pair;
    pair.listenAgain({ versions: V2_FIRST });
    pair.seen.length = 0;
    pair.again({ ticket, earlyAlpn: "test" });
    const id = pair.clientConn.open(0);
    pair.clientConn.write(id, Uint8Array.of(4, 5, 6), 0, 3, true);
    pair.settle();
    assert.deepEqual(
      [info(pair).resumed, info(pair).earlyDataAttempted, info(pair).earlyDataAccepted],
      [false, true, false],
    );
    assert.equal(info(pair).version, VERSION_2);
    assert.equal((pair as Pair).serverConn?.readable(id), 3);
    assert.deepEqual(pair.versions(true, packets.PACKET_ZERO_RTT), [VERSION_1]);
  });

  test("0-RTT before a Version Negotiation packet is sent again", () => {
    const pair = new Watched({ firstVersion: VERSION_2 }, {}, { earlyData: true });
    pair.settle();
    const { ticket } = pair;
    pair.listenAgain({ versions: [VERSION_1] });
    pair.seen.length = 0;
    pair.again({ ticket, token: tokenOf(pair), earlyAlpn: "test" });
    const id = pair.clientConn.open(0);
    pair.clientConn.write(id, Uint8Array.of(4, 5, 6), 0, 3, true);
    pair.settle();
    assert.deepEqual(pair.versions(true, packets.PACKET_ZERO_RTT), [VERSION_2]);
    assert.deepEqual(
      [info(pair).resumed, info(pair).earlyDataAttempted, info(pair).earlyDataAccepted],
      [false, true, false],
    );
    assert.equal(info(pair).version, VERSION_1);
    assert.equal(pair.serverConn?.readable(id), 3);
  });
});
