/** Versions of QUIC, from the options to what came out of it. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConnectOptions, ListenOptions } from "#src/api/quic/index.js";
import { VERSION_1, VERSION_2 } from "#src/proto/version.js";
import { testLeaf, until, withBench } from "./support.js";

const sni = { "*": { keys: testLeaf().key, certs: testLeaf().cert } };

describe("RFC 9368, RFC 9369 versions", () => {
  const rows: [string, ConnectOptions, ListenOptions, number][] = [
    ["both sides by default", {}, {}, VERSION_1],
    ["a server that wants version 2", {}, { ext: { versions: [2, 1] } }, VERSION_2],
    ["a server with `version`", {}, { version: VERSION_2 }, VERSION_2],
    ["a client that wants version 2", { ext: { versions: [2n, 1n] } }, {}, VERSION_2],
    ["a client with `version`", { version: VERSION_2 }, {}, VERSION_2],
    ["`minVersion`", { minVersion: VERSION_2 }, {}, VERSION_2],
    ["a first flight that the server does not speak", { version: 2 }, { ext: { versions: [1] } }, VERSION_1],
  ];
  for (const [title, client, server, version] of rows) {
    test(
      `${title}: 0x${version.toString(16)}`,
      withBench(async (bench) => {
        const pair = await bench.pair({ sni, ...server }, client);
        assert.equal(pair.client.ext.runtime.version, version);
        assert.equal(pair.server.ext.runtime.version, version);
      }),
    );
  }

  test(
    "a ticket of version 2 resumes in version 2 only",
    withBench(async (bench) => {
      let sessionTicket: Uint8Array | undefined;
      const onsessionticket = (bytes: Uint8Array): void => void (sessionTicket = bytes);
      const { endpoint } = await bench.pair({ version: 2 }, { onsessionticket });
      await until(() => sessionTicket !== undefined);
      const resume = async (options: ConnectOptions): Promise<unknown[]> => {
        const session = await bench.connect(endpoint, { sessionTicket, ...options } as ConnectOptions);
        await session.opened;
        return [session.ext.runtime.resumed, session.ext.runtime.version];
      };
      assert.deepEqual(await resume({ version: 1 }), [false, VERSION_2]);
      assert.deepEqual(await resume({}), [true, VERSION_2]);
    }),
  );
});
