/** The limits of NETQUIC_SYSCTL in a program: what stands in the file holds for its endpoints. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { processLimits } from "#src/api/memory.js";
import { addressOf, nextStream, pause, quicError, readAll, testCa, withBench, ALPN } from "./support.js";
import { connect } from "#src/api/quic/index.js";

const dir = mkdtempSync(join(tmpdir(), "netquic-memory-"));
const file = join(dir, "limits.conf");
writeFileSync(file, "net.quic.quic_mem = 8 16 32\nnet.quic.quic_rmem = 4096 65536 262144\n");
process.env["NETQUIC_SYSCTL"] = file;
after(() => rmSync(dir, { recursive: true, force: true }));

describe("limits of a program", () => {
  test(
    "a reader that does not read fills the queues, new clients are refused; when it has read, they are taken",
    withBench(async (bench) => {
      assert.deepEqual(processLimits().memBytes, [32_768, 65_536, 131_072]);
      const { client, server, endpoint } = await bench.pair();
      const coming = nextStream(server);
      const body = new Uint8Array(200_000);
      const sent = await client.createUnidirectionalStream({ body });
      const stream = await coming;
      const refused = async (): Promise<boolean> => {
        const session = await connect(addressOf(endpoint), { alpn: ALPN, ca: testCa().cert });
        bench.later(() => session.destroy());
        const ended = quicError(session.closed);
        const opened = session.opened.then(
          () => true,
          () => false,
        );
        if (await opened) {
          ended.catch(() => {});
          await session.close();
          return false;
        }
        assert.equal((await ended).code, "ERR_QUIC_CONNECTION_REFUSED");
        return true;
      };
      for (let i = 0; i < 400 && !(await refused()); i++) await pause(100);
      assert.equal(await refused(), true);
      assert.equal((await readAll(stream)).length, body.length);
      await sent.closed;
      for (let i = 0; i < 400 && (await refused()); i++) await pause(100);
      assert.equal(await refused(), false);
    }),
  );

  test(
    "no window begins with more than quic_rmem gives",
    withBench(async (bench) => {
      const { client } = await bench.pair({ transportParams: { initialMaxData: 1_000_000 } });
      assert.equal(client.remoteTransportParams?.initialMaxData, 262_144n);
      const other = await bench.pair();
      assert.equal(other.client.remoteTransportParams?.initialMaxData, 65_536n);
    }),
  );

  test("a file that is wrong ends the first connect or listen, with its name and line", () => {
    const bad = join(dir, "bad.conf");
    writeFileSync(bad, "net.quic.quic_mem = 3 2 1\n");
    const index = fileURLToPath(new URL("../../dist/api/quic/index.js", import.meta.url));
    const script = `import(${JSON.stringify(index)}).then(({ listen }) => listen(() => {}, { ext: { devCertificate: true } })).catch((error) => console.log(error.code, error.message))`;
    for (const path of [bad, join(dir, "none.conf")]) {
      const { stdout } = spawnSync(process.execPath, ["-e", script], {
        env: { ...process.env, NETQUIC_SYSCTL: path },
        encoding: "utf8",
      });
      assert.match(stdout, /^ERR_NETQUIC_SYSCTL NETQUIC_SYSCTL: \S+\.conf: (line 1: net.quic.quic_mem: 3 2 1|ENOENT)/);
    }
  });
});
