/** The programs in README.md are run as they stand there, but for the port. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, test } from "node:test";
import { freeUdpPort } from "../support/ports.js";

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
/** Inside the package, so that `import "netquic"` finds it. */
const folder = fileURLToPath(new URL("./readme/", import.meta.url));

/** The program whose first line names it. */
function program(name: string, port: number): string {
  const blocks = [...readme.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code as string);
  const code = blocks.find((block) => block.startsWith(`// ${name}`));
  assert.ok(code !== undefined, `README.md has ${name}`);
  assert.ok(code.includes(":4433"), name);
  const file = `${folder}${name}`;
  writeFileSync(file, code.replaceAll(":4433", `:${port}`));
  return file;
}

function run(file: string, ...args: string[]): ChildProcess {
  return spawn(process.execPath, [file, ...args], { stdio: ["ignore", "pipe", "pipe"] });
}

describe("README.md", () => {
  test("the server echoes what the client sends, and the client ends by itself", { timeout: 120_000 }, async () => {
    mkdirSync(folder, { recursive: true });
    const port = await freeUdpPort();
    const server = run(program("server.mjs", port));
    try {
      const notice = await firstMatch(server, /SHA-256 ([0-9a-f]{64})/);
      const client = run(program("client.mjs", port), notice);
      const [output, errors, [code]] = await Promise.all([
        text(client.stdout!),
        text(client.stderr!),
        once(client, "close"),
      ]);
      assert.equal(errors, "");
      assert.equal(output, "hello\n");
      assert.equal(code, 0);
    } finally {
      server.kill();
    }
  });
});

/** The first group of `pattern` in what the program writes to stderr. */
async function firstMatch(child: ChildProcess, pattern: RegExp): Promise<string> {
  let seen = "";
  for await (const chunk of child.stderr!.setEncoding("utf8")) {
    seen += chunk as string;
    const found = pattern.exec(seen)?.[1];
    if (found !== undefined) return found;
  }
  throw new Error(`the program ended: ${seen}`);
}
