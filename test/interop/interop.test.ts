/** The interop harness without foreign programs: its protocol, its HTTP/3 shim, its Retry witness, its matrix. */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { PassThrough } from "node:stream";
import { describe, test } from "node:test";
import { hasHandshakePacket, hasToken, longType, openForwarder } from "./forwarder.js";
import { respond } from "./doq-shim/doq.js";
import { answer, controlStreamStart, parseMessage, request } from "./h3-shim/h3.js";
import { formatDocs, formatMatrix } from "./matrix.js";
import {
  eachConnection,
  exchange,
  type InteropStream,
  pattern,
  type ProgramOptions,
  serveStream,
  sha256,
} from "./protocol.js";

/** Two ends of one stream in memory. */
function streamPair(): [InteropStream, InteropStream] {
  const [up, down] = [new PassThrough(), new PassThrough()];
  const side = (read: PassThrough, write: PassThrough): InteropStream => ({
    read,
    write: async (bytes) => {
      if (!write.write(bytes)) await once(write, "drain");
    },
    end: async () => void write.end(),
  });
  return [side(down, up), side(up, down)];
}

function served(): Promise<InteropStream> {
  const [client, server] = streamPair();
  serveStream(server).catch(() => server.end());
  return Promise.resolve(client);
}

const options = (fields: Partial<ProgramOptions>) =>
  ({ bytes: 200_000, bothWays: false, streams: 1, connections: 1, ...fields }) as ProgramOptions;

describe("the interop protocol", () => {
  test("a transfer moves the bytes both ways and compares checksums", async () => {
    assert.match(
      await exchange(served, options({ bothWays: true })),
      /^200000 down and 200000 up bytes, SHA-256 equal/,
    );
  });

  test("other cases fetch once", async () => {
    assert.equal(await exchange(served, options({ bytes: 1000 })), "1000 bytes");
  });

  test("each of many connections has its own limit, and all are tried", async () => {
    let count = 0;
    const connect = () => (++count === 3 ? new Promise<never>(() => {}) : Promise.resolve("seen"));
    const many = options({ connections: 20, patienceMillis: 20 });
    await assert.rejects(eachConnection(many, connect), /^Error: 19 of 20 connections, .* took more than 0.02 s/);
    assert.equal(count, 20);
    assert.match(await eachConnection(many, () => Promise.resolve("seen")), /^20 of 20 connections, .*; seen$/);
  });

  test("a wrong byte on the way is found", async () => {
    const open = async () => {
      const stream = await served();
      const read = async function* () {
        for await (const chunk of stream.read) yield chunk.map((byte) => byte ^ 1);
      };
      return { ...stream, read: read() };
    };
    await assert.rejects(exchange(open, options({ bytes: 1000 })), /wrong checksum/);
  });

  test("what is not a request is refused", async () => {
    for (const line of ["HELLO\n", "GET 99999999999\n", "x".repeat(100)]) {
      const [client, server] = streamPair();
      await client.write(new TextEncoder().encode(line));
      await client.end();
      await assert.rejects(serveStream(server), /request/, line);
    }
  });

  test("sizes have patterns of their own", () => {
    assert.notEqual(sha256(pattern(1000)), sha256(pattern(1001).subarray(0, 1000)));
    assert.equal(pattern(5).length, 5);
  });
});

describe("the HTTP/3 shim", () => {
  test("a request with a body reaches the server and its answer comes back", async () => {
    const [client, server] = streamPair();
    const body = pattern(150_000);
    const served = answer(server, (message) => {
      assert.equal(message.fields.get(":method"), "POST");
      assert.equal(message.fields.get(":path"), "/upload");
      return new TextEncoder().encode(sha256(message.body));
    });
    const message = await request(client, "POST", "/upload", body);
    await served;
    assert.equal(message.fields.get(":status"), "200");
    assert.equal(new TextDecoder().decode(message.body), sha256(body));
  });

  test("RFC 9114 §6.2.1 a control stream starts with its type and SETTINGS", () => {
    assert.deepEqual([...controlStreamStart()], [0x00, 0x04, 0x00]);
  });

  test("RFC 9204 §4.5 reads indexed, named and literal lines and passes over Huffman-coded strings", () => {
    const lines = [
      [0xd1], // indexed, static 17: :method GET
      [0x51, 0x02, 0x2f, 0x61], // name of static 1, ":path", value "/a"
      [0x50, 0x82, 0x12, 0x34], // name of static 0, value Huffman-coded
      [0x21, 0x78, 0x01, 0x79], // literal name "x", value "y"
      [0xff, 0x24], // indexed, static 99: not in the shim's table
    ].flat();
    const { fields } = parseMessage(Uint8Array.of(0x01, 2 + lines.length, 0, 0, ...lines));
    assert.deepEqual(
      [...fields],
      [
        [":method", "GET"],
        [":path", "/a"],
        ["x", "y"],
      ],
    );
  });

  test("RFC 9204 §4.5.2 an index into the dynamic table is refused, as are cut frames", () => {
    assert.throws(() => parseMessage(Uint8Array.of(0x01, 3, 0, 0, 0x80)), /dynamic table/);
    assert.throws(() => parseMessage(Uint8Array.of(0x00, 5, 1)), /cut/);
  });

  test("frames of unknown types are passed over", () => {
    assert.deepEqual(parseMessage(Uint8Array.of(0x21, 1, 9, 0x00, 2, 7, 8)).body, Buffer.of(7, 8));
  });
});

describe("the DNS shim", () => {
  const query = (name: number[]) => Uint8Array.of(0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...name, 0, 16, 0, 1);
  const label = (text: string) => [text.length, ...new TextEncoder().encode(text)];

  test("RFC 1035 §4.1 answers with TXT records of the bytes that the name asks for", () => {
    const answer = respond(query([...label("200"), ...label("interop"), 0]), pattern);
    assert.deepEqual([...answer.subarray(0, 12)], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0]);
    const first = answer.subarray(12 + 13 + 4);
    assert.deepEqual([...first.subarray(0, 13)], [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, 251, 250]);
    const text = new TextDecoder().decode(first.subarray(13, 263)) + new TextDecoder().decode(first.subarray(263 + 13));
    assert.deepEqual(Buffer.from(text, "hex"), Buffer.from(pattern(200)));
  });

  test("a name without a count, above the limit or without an end is refused", () => {
    assert.throws(() => respond(query([...label("www"), 0]), pattern), /count/);
    assert.throws(() => respond(query([...label("29001"), 0]), pattern), /count/);
    assert.throws(() => respond(query([...label("20"), 63]), pattern), /cut/);
  });
});

describe("the Retry witness", () => {
  const cids = [4, 1, 2, 3, 4, 2, 9, 9];
  const long = (type: number, ...rest: number[]) => Uint8Array.of(0xc0 | (type << 4), 0, 0, 0, 1, ...cids, ...rest);

  test("knows the long packet types of versions 1 and 2 only", () => {
    assert.equal(longType(Uint8Array.of(0xd0, 0x6b, 0x33, 0x43, 0xcf, 0, 0)), 0, "RFC 9369 §3.2: Initial");
    assert.equal(longType(Uint8Array.of(0xc0, 0x6b, 0x33, 0x43, 0xcf, 0, 0)), 3, "RFC 9369 §3.2: Retry");
    assert.equal(longType(long(3)), 3);
    assert.equal(longType(long(0)), 0);
    assert.equal(longType(Uint8Array.of(0xc0, 0, 0, 0, 0, 0, 0)), -1, "version negotiation");
    assert.equal(longType(Uint8Array.of(0x40, 1, 2, 3, 4, 5, 6, 7)), -1, "short header");
    assert.equal(longType(Uint8Array.of(0xc0)), -1);
  });

  test("tells an Initial with a token from one without", () => {
    assert.equal(hasToken(long(0, 0, 0x41)), false);
    assert.equal(hasToken(long(0, 2, 5, 5)), true);
  });

  test("RFC 9000 §12.2 finds a Handshake packet behind an Initial packet", () => {
    const initial = long(0, 1, 5, 3, 7, 7, 7);
    assert.equal(hasHandshakePacket(initial), false);
    assert.equal(hasHandshakePacket(Uint8Array.of(...initial, ...long(2, 1, 7))), true);
    assert.equal(hasHandshakePacket(Uint8Array.of(...initial, ...long(1, 1, 7))), false, "0-RTT");
    assert.equal(hasHandshakePacket(initial.subarray(0, initial.length - 2)), false, "a cut one");
  });

  test("a path that loses, damages and delays does so by the clock", async () => {
    const server = createSocket("udp4");
    server.bind(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const delay = { baseMicros: 30_000, jitterMicros: 0, jitter: "uniform", fifo: true } as const;
    const client = createSocket("udp4");
    const late = await openForwarder("127.0.0.1", port, { path: { delay, corrupt: 1 } });
    const started = performance.now();
    const replies: Uint8Array[] = [];
    for (let i = 0; i < 5; i++) {
      client.send(long(0, 0, 5, 5), late.port, "127.0.0.1");
      const [reply] = (await once(server, "message")) as [Buffer];
      replies.push(Uint8Array.from(reply));
    }
    assert.ok(performance.now() - started >= 5 * 29);
    assert.equal(late.damaged(), 5);
    assert.ok(replies.some((reply) => Buffer.compare(reply, long(0, 0, 5, 5)) !== 0)); // a splice may change nothing
    const lossy = await openForwarder("127.0.0.1", port, { path: { delay, loss: 1 } });
    client.send(long(0, 0, 5, 5), lossy.port, "127.0.0.1");
    while (lossy.dropped().loss === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    for (const socket of [client, server, late, lossy]) socket.close();
  });

  test("a rebinding gives the client another port or address, and what comes back there is counted", async () => {
    const server = createSocket("udp4");
    const seen: string[] = [];
    server.on("message", (datagram, from) => {
      seen.push(`${from.address} ${from.port}`);
      server.send(datagram, from.port, from.address);
    });
    server.bind(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const rebind = { address: "127.0.0.2", afterBytes: [200] };
    const forwarder = await openForwarder("127.0.0.1", port, { path: null, rebind });
    const client = createSocket("udp4");
    for (let i = 0; i < 3; i++) {
      client.send(new Uint8Array(100).fill(0x40), forwarder.port, "127.0.0.1");
      await once(client, "message");
    }
    assert.equal(seen[0], seen[1], "the server had sent 100 bytes then");
    assert.match(seen[2]!, /^127\.0\.0\.2 /);
    assert.equal(forwarder.counts.rebindings, 1);
    assert.equal(forwarder.counts.bytesToRebound, 100);
    client.close();
    server.close();
    forwarder.close();
  });

  test("forwards both ways and counts", async () => {
    const server = createSocket("udp4");
    server.on("message", (datagram, from) => server.send(long(3, datagram.length), from.port, from.address));
    server.bind(0, "127.0.0.1");
    await once(server, "listening");
    const forwarder = await openForwarder("127.0.0.1", (server.address() as AddressInfo).port, { path: null });
    const client = createSocket("udp4");
    client.send(long(0, 2, 5, 5), forwarder.port, "127.0.0.1");
    const [reply] = (await once(client, "message")) as [Buffer];
    assert.equal(longType(reply), 3);
    assert.equal(forwarder.counts.retries, 1);
    assert.equal(forwarder.counts.initialsWithToken, 1);
    client.close();
    server.close();
    forwarder.close();
  });
});

test("the matrix has a row for each peer and role and a column for each case", () => {
  const cells = [
    { peer: "a", role: "server", case: "handshake", result: "pass" },
    { peer: "a", role: "server", case: "retry", result: "unsupported" },
    { peer: "b", role: "client", case: "handshake", result: "fail" },
  ] as const;
  assert.equal(
    formatMatrix(cells),
    ["             handshake  retry", "a as server  pass       unsupported", "b as client  fail       -"].join("\n"),
  );
});

test("tables for the documentation have a column for each peer and role that can do something, and say what it lacks", () => {
  const cell = { peer: "a", role: "server", case: "handshake", result: "pass", detail: "" } as const;
  const cells = [
    cell,
    { ...cell, case: "retry", result: "unsupported", detail: "127.0.0.1:80 said no" },
    { ...cell, role: "client", result: "unsupported", detail: "none" },
    { ...cell, role: "client", case: "retry", result: "unsupported", detail: "none" },
  ] as const;
  assert.equal(
    formatDocs([{ title: "now", cells }]),
    [
      "### now\n",
      "|  | a server |",
      "| --- | --- |",
      "| handshake | yes |",
      "| retry | - |\n",
      "| peer | cases | what it answered, or lacks |",
      "| --- | --- | --- |",
      "| a as server | retry | said no |",
      "| a as client | all | none |\n",
    ].join("\n"),
  );
});
