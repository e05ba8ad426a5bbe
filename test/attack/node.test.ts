/**
 * What a peer can do to a process of Node with the public API, over real UDP and real TLS: T28, T45, J02, J04, J05, J06, J07,
 * J09. Each with an honest session that goes on.
 */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseAddress } from "#src/api/address.js";
import { type ConnectOptions, type ListenOptions, QuicError } from "#src/api/quic/index.js";
import { oneLine } from "#src/cli/failure.js";
import { parseMessage } from "#src/cli/transfer/protocol.js";
import { nativeName } from "#src/runtime/native/tls-config.js";
import { content, echo, issue, nextStream, readAll, sha256, until, withBench } from "../api/support.js";
import { cpuMicros } from "../support/cpu.js";

const NAMES = ["constructor", "toString", "valueOf", "hasOwnProperty", "watch"];

describe("names that every object has, J05", () => {
  test(
    "as the name that a client asks for, they get the default certificate, as any other name does",
    withBench(async (bench) => {
      const known = issue(["known.test"]);
      const any = issue(["any.test"]);
      const identity = ({ cert, key }: { cert: string; key: string }) => ({ certs: cert, keys: key });
      const seen: unknown[] = [];
      const endpoint = await bench.serve(
        async (session) => {
          await session.opened;
          seen.push(session.certificate?.subjectAltName);
        },
        { sni: { "known.test": identity(known), "*": identity(any) } },
      );
      for (const servername of ["known.test", "other.test", ...NAMES]) {
        const session = await bench.connect(endpoint, { servername, rejectUnauthorized: false });
        await session.opened;
        await session.close();
      }
      await until(() => seen.length === 2 + NAMES.length);
      const all = ["DNS:known.test", ...Array.from({ length: 1 + NAMES.length }, () => "DNS:any.test")];
      assert.deepEqual(seen, all);
    }),
  );

  test(
    "as keys of options they are refused, and no object has more than before",
    withBench(async (bench) => {
      const before = Object.getOwnPropertyNames(Object.prototype);
      const endpoint = await bench.serve(echo);
      for (const name of ["__proto__", "constructor"]) {
        const evil = JSON.parse(`{"${name}": {"polluted": 1}}`) as object;
        const refused = { code: "ERR_INVALID_ARG_VALUE" };
        await assert.rejects(bench.connect(endpoint, { transportParams: { ...evil } } as ConnectOptions), refused);
        await assert.rejects(bench.connect(endpoint, { ...evil } as ConnectOptions), refused);
        await assert.rejects(bench.serve(echo, { transportParams: { ...evil } } as ListenOptions), refused);
      }
      assert.deepEqual(Object.getOwnPropertyNames(Object.prototype), before);
      assert.equal(({} as { polluted?: number }).polluted, undefined);
      const honest = await bench.connect(endpoint);
      assert.equal((await readAll(await honest.createBidirectionalStream({ body: "x" }))).toString(), "x");
    }),
  );
});

describe("text, J04, J06, J09", () => {
  test(
    "J04 of a reason of any UTF-16 units, printable ASCII arrives as it was and a question mark for each other one",
    withBench(async (bench) => {
      for (const first of [0, 0xd700, 0xff00]) {
        let text = "";
        for (let unit = first; unit < first + 256; unit++) text += String.fromCharCode(unit);
        const { client, server } = await bench.pair();
        const closed = server.closed.catch((error: unknown) => error);
        client.close({ code: 7, reason: text, type: "application" }).catch(() => {});
        const error = await closed;
        assert.ok(error instanceof QuicError);
        assert.equal(error.reason, text.replaceAll(/[^ -~]/g, "?"));
      }
    }),
  );

  const MAX_MILLIS = 5;

  /** CPU time of one call, milliseconds: the least of so many as it takes to be short enough, in thirty. */
  function millisOf(call: () => unknown): number {
    let least = Infinity;
    for (let run = 0; run < 30 && least > MAX_MILLIS; run++) {
      const started = cpuMicros();
      try {
        call();
      } catch {
        // refused is as good as taken
      }
      least = Math.min(least, (cpuMicros() - started) / 1000);
    }
    return least;
  }

  test("J06, J09 64 KiB of adverse text cost each parser five milliseconds at most", () => {
    const size = 65_536;
    const repeated = ["a", " ", ".", "-", "a.", "[", ":", "9", "\u0000", "\u2028", "é", "{", "[[", '"\\'].map((piece) =>
      piece.repeat(size / piece.length),
    );
    const texts = [...repeated, ...repeated.map((text) => `${text}!`), `{"x":${"9".repeat(size)}}`];
    const parsers: [string, (text: string) => unknown][] = [
      ["an address", (text) => parseAddress(text, "address")],
      ["a host name", (text) => nativeName(text, false)],
      ["a message of the transfer protocol", parseMessage],
      ["a line for the terminal", oneLine],
    ];
    for (const [name, parse] of parsers) {
      for (const text of texts) {
        const millis = millisOf(() => parse(text));
        assert.ok(millis <= MAX_MILLIS, `${name}: ${millis} ms for ${JSON.stringify(text.slice(0, 8))}`);
      }
    }
  });
});

describe("datagrams that are nothing, T45", () => {
  test(
    "empty ones, single bytes and junk, at both ends of a transfer, neither end it nor stall it",
    withBench(async (bench) => {
      const { client, server, endpoint } = await bench.pair();
      const noise = createSocket("udp4");
      bench.later(() => noise.close());
      noise.bind(0, "127.0.0.1");
      await once(noise, "listening");
      const ports = [endpoint.address?.port ?? 0, client.path?.local.port ?? 0];
      const junk = [0, 1, 20, 21, 1200].map((length) => content(length, 7));
      const timer = setInterval(() => {
        for (const port of ports) for (const bytes of junk) noise.send(bytes, port, "127.0.0.1");
      }, 1);
      bench.later(() => clearInterval(timer));
      const body = content(8_000_000);
      const incoming = nextStream(server);
      const stream = await client.createUnidirectionalStream();
      const writing = stream.writer.write(body).then(() => stream.writer.end());
      const got = await readAll(await incoming);
      await writing;
      assert.equal(sha256(got), sha256(body));
    }),
  );
});

describe("data before the certificate was checked, T28", () => {
  test(
    "what a server with a bad certificate says at once reaches no callback",
    withBench(async (bench) => {
      const bad = issue(["elsewhere.test"]);
      let sent = 0;
      const endpoint = await bench.serve(
        async (session) => {
          const stream = await session.createUnidirectionalStream({ body: "too early" }).catch(() => null);
          if (stream !== null) sent++;
        },
        { certs: bad.cert, keys: bad.key },
      );
      let streams = 0;
      const session = await bench.connect(endpoint, { onstream: () => streams++ } as ConnectOptions);
      session.onstream = () => streams++;
      await assert.rejects(session.opened, { code: "ERR_QUIC_HANDSHAKE" });
      await sleep(50);
      assert.equal(streams, 0);
      const good = await bench.serve(echo);
      const honest = await bench.connect(good);
      assert.equal((await readAll(await honest.createBidirectionalStream({ body: "x" }))).toString(), "x");
      assert.ok(sent <= 1);
    }),
  );
});

describe("a process that listens to nothing, J07", () => {
  test(
    "resets, stops, closes and errors that nobody awaits are no unhandled rejections, and another session goes on",
    withBench(async (bench) => {
      const unhandled: unknown[] = [];
      const note = (error: unknown): void => void unhandled.push(error);
      process.on("unhandledRejection", note);
      bench.later(() => process.off("unhandledRejection", note));
      const endpoint = await bench.serve((session) => {
        session.onstream = (stream) => {
          stream.writer.fail(new Error("no"));
          stream.stopSending(9n);
          if (sessions++ % 2 === 0) session.destroy(new Error("gone"));
        };
      });
      let sessions = 0;
      for (let round = 0; round < 6; round++) {
        const session = await bench.connect(endpoint);
        await session.opened;
        await session.createBidirectionalStream({ body: content(100_000) }).catch(() => null);
        if (round % 3 === 0) session.destroy();
      }
      await sleep(100);
      const good = await bench.serve(echo);
      const honest = await bench.connect(good);
      assert.equal((await readAll(await honest.createBidirectionalStream({ body: "x" }))).toString(), "x");
      assert.deepEqual(unhandled, []);
    }),
  );
});

describe("timers, J02", () => {
  test(
    "idle timeouts of 2^31 ms and beyond make no busy loop",
    withBench(async (bench) => {
      const limits = [2 ** 31 / 1000, 2 ** 32 / 1000, 2 ** 31];
      for (const maxIdleTimeout of limits) {
        await bench.pair({ transportParams: { maxIdleTimeout } }, { transportParams: { maxIdleTimeout } });
      }
      await sleep(300); // what follows a handshake is over
      const { loopCount: before } = performance.nodeTiming.uvMetricsInfo;
      await sleep(1000);
      const turns = performance.nodeTiming.uvMetricsInfo.loopCount - before;
      assert.ok(turns < 200, `${turns} turns of the event loop in a second of silence`);
    }),
  );
});
