import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { withBench } from "./support.js";

describe("RFC 9221 datagrams", () => {
  test(
    "an echo, with the status of each",
    { timeout: 60_000 },
    withBench(async (bench) => {
      const { client: session, server: peer } = await bench.pair();
      peer.ondatagram = (data) => void peer.sendDatagram(data);
      const echoes: string[] = [];
      const statuses: [bigint, string][] = [];
      const done = new Promise<void>((resolve) => {
        const check = (): void => void (echoes.length === 3 && statuses.length === 3 && resolve());
        session.ondatagram = (data, early) => {
          echoes.push(`${Buffer.from(data).toString()} ${early}`);
          check();
        };
        session.ondatagramstatus = (id, status) => {
          statuses.push([id, status]);
          check();
        };
      });
      const shared = new Uint8Array(Buffer.from("view"));
      const ids = [
        await session.sendDatagram("text"),
        await session.sendDatagram(Promise.resolve(shared)),
        session.ext.sendDatagram(Buffer.from("now")),
      ];
      shared.fill(0); // a copy was taken
      await done;
      assert.deepEqual(echoes, ["text false", "view false", "now false"]);
      assert.deepEqual(statuses.map(([id]) => id).sort(), ids);
      assert.ok(statuses.every(([, status]) => status === "acknowledged"));
      assert.equal(session.stats.datagramsSent, 3n);
      assert.equal(session.stats.datagramsReceived, 3n);
      assert.equal(session.stats.datagramsAcknowledged, 3n);
    }),
  );

  test(
    "what cannot be sent: 0n from node's call, a reason from ours",
    { timeout: 60_000 },
    withBench(async (bench) => {
      const { client: session, server: peer } = await bench.pair({ transportParams: { maxDatagramFrameSize: 0 } });
      const most = peer.maxDatagramSize;
      assert.ok(most > 1100 && most < 1200, `${most}`);
      assert.equal(await peer.sendDatagram(new Uint8Array(most + 1)), 0n);
      assert.equal(await peer.sendDatagram(""), 0n);
      assert.throws(() => peer.ext.sendDatagram(new Uint8Array(most + 1)), {
        code: "ERR_QUIC_DATAGRAM_TOO_LARGE",
        message: new RegExp(`^a datagram of ${most + 1} bytes; the most that fits now is ${most}`),
      });
      assert.equal(session.maxDatagramSize, 0);
      assert.equal(await session.sendDatagram("x"), 0n);
      assert.throws(() => session.ext.sendDatagram("x"), { code: "ERR_QUIC_NO_DATAGRAMS" });
      await assert.rejects(session.sendDatagram(7 as unknown as string), { code: "ERR_INVALID_ARG_TYPE" });
      session.destroy();
      assert.throws(() => session.ext.sendDatagram("x"), { code: "ERR_INVALID_STATE" });
    }),
  );

  test(
    "a full queue drops by its policy and says so",
    { timeout: 60_000 },
    withBench(async (bench) => {
      for (const datagramDropPolicy of ["drop-oldest", "drop-newest"] as const) {
        const abandoned: bigint[] = [];
        const { client: session } = await bench.pair({}, { datagramDropPolicy, maxPendingDatagrams: 2 });
        const fate = new Promise<void>((resolve) => {
          session.ondatagramstatus = (id, status) => {
            if (status === "abandoned") abandoned.push(id);
            else resolve();
          };
        });
        for (let i = 0; i < 3; i++) session.ext.sendDatagram("x"); // one turn: none can leave between them
        await fate;
        assert.deepEqual(abandoned, [datagramDropPolicy === "drop-oldest" ? 1n : 3n]);
        assert.equal(session.maxPendingDatagrams, 2);
        assert.throws(() => void (session.maxPendingDatagrams = 0), { code: "ERR_INVALID_ARG_TYPE" });
      }
    }),
  );
});
