/** The programs in docs/socket.md are run as they stand there, but for the port. */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { devCertificate } from "#src/runtime/native/x509.js";
import { freeUdpPort } from "../support/ports.js";

const page = readFileSync(new URL("../../docs/socket.md", import.meta.url), "utf8");
/** Inside the package, so that `import "netquic/socket"` finds it. */
const folder = fileURLToPath(new URL("./socket/", import.meta.url));

test("docs/socket.md: the client of the example gets back what it sent", { timeout: 120_000 }, async () => {
  mkdirSync(folder, { recursive: true });
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  writeFileSync(`${folder}cert.pem`, cert);
  writeFileSync(`${folder}key.pem`, key);
  const port = `${await freeUdpPort()}`;
  for (const [, code, name] of page.matchAll(/```js\n(\/\/ (\w+\.mjs).*?)```/gs)) {
    writeFileSync(`${folder}${name}`, (code as string).replaceAll("4433", port));
  }
  const server = spawn(process.execPath, ["server.mjs"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  try {
    assert.equal(String((await once(server.stdout, "data"))[0]), "listening\n");
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: "cert.pem" };
    const { stdout } = await promisify(execFile)(process.execPath, ["client.mjs"], { cwd: folder, env });
    assert.equal(stdout, "hello\n");
  } finally {
    server.kill();
  }
});
