/** The program in docs/net.md is run as it stands there, but for its port, and says what the page says. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CODE_ABORTED, CODE_REFUSED } from "#src/api/net/errors.js";
import { DEFAULT_ALPN } from "#src/api/net/options.js";
import { NET_KEEP_ALIVE_MILLIS, NET_STREAMS } from "#src/proto/limits.js";
import { freeUdpPort } from "../support/ports.js";

const page = readFileSync(new URL("../../docs/net.md", import.meta.url), "utf8");
/** Inside the package, so that `import "netquic/net"` finds it. */
const folder = fileURLToPath(new URL("./net/", import.meta.url));

test("docs/net.md: the example greets its client and ends", { timeout: 120_000 }, async () => {
  const code = /```js\n(.*?)```/s.exec(page)?.[1] ?? assert.fail("the page has an example");
  mkdirSync(folder, { recursive: true });
  const file = `${folder}net.mjs`;
  writeFileSync(file, code.replaceAll("4433", `${await freeUdpPort()}`));
  const { stdout } = await promisify(execFile)(process.execPath, [file]);
  assert.equal(stdout, "hello 127.0.0.1\n");
});

test("docs/net.md: names and numbers are those of the sources", () => {
  assert.ok(page.includes(`ALPN is \`${DEFAULT_ALPN}\``));
  assert.ok(page.includes(`${NET_STREAMS.toLocaleString("en")} sockets at once`));
  assert.ok(page.includes(`after ${NET_KEEP_ALIVE_MILLIS / 1000} seconds of silence`));
  assert.ok(page.includes(`RESET_STREAM ${CODE_ABORTED}, STOP_SENDING ${CODE_ABORTED}`));
  assert.ok(page.includes(`RESET_STREAM and STOP_SENDING ${CODE_REFUSED}`));
});
