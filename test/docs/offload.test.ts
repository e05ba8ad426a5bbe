/** The program in docs/offload.md is run as it stands there, and says what the page says. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { OffloadError, openSocket, quicStat } from "#src/api/offload/index.js";

const page = readFileSync(new URL("../../docs/offload.md", import.meta.url), "utf8");
/** Inside the package, so that `import "netquic/offload"` finds it. */
const folder = fileURLToPath(new URL("./offload/", import.meta.url));

test("docs/offload.md: the example sends seven full datagrams and one of 728", { timeout: 120_000 }, async () => {
  const code = /```js\n(\/\/ offload\.mjs.*?)```/s.exec(page)?.[1];
  assert.ok(code !== undefined, "the page has offload.mjs");
  mkdirSync(folder, { recursive: true });
  const file = `${folder}offload.mjs`;
  writeFileSync(file, code);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [file]);
  assert.equal(stderr, "");
  const lines = Array.from({ length: 8 }, (_, pn) => `packet ${pn}: ${pn < 7 ? 1200 : 728} bytes on the wire`);
  assert.deepEqual(stdout.trim().split("\n"), ["9000 bytes accepted, 1 flow", ...lines]);
});

test("docs/offload.md: the tables name every counter and every code of an OffloadError", async () => {
  for (const name of Object.keys(quicStat())) assert.ok(page.includes(`\`${name}\``), name);
  const source = readFileSync(new URL("../../src/api/offload/error.ts", import.meta.url), "utf8");
  const codes = [...source.matchAll(/\| "(E[A-Z]+)"/g)].map(([, code]) => code as string);
  const documented = [...page.matchAll(/^\| `(E[A-Z]+)` \|/gm)].map(([, code]) => code as string);
  assert.deepEqual(documented.sort(), codes.sort());
  const socket = await openSocket({ address: "127.0.0.1" });
  assert.throws(() => socket.attach("none"), OffloadError);
  socket.close();
});
