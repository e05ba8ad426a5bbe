/** Namespaces go with the process that made them, also when it fails or is ended from outside. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ip } from "./namespaces.js";

async function makeStar(): Promise<{ child: ChildProcess; names: string[] }> {
  const file = fileURLToPath(new URL("./cleanup-victim.js", import.meta.url));
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "ignore", "ignore", "ipc"] });
  const [names] = (await once(child, "message")) as [string[]];
  return { child, names };
}

function present(names: string[]): string[] {
  const listed = ip("netns", "list");
  return names.filter((name) => listed.includes(name));
}

describe("namespaces of a process", { timeout: 120_000 }, () => {
  for (const end of ["SIGINT", "SIGTERM", "SIGHUP", "throw"] as const) {
    test(`are gone after ${end}`, async () => {
      const { child, names } = await makeStar();
      assert.deepEqual(present(names), names);
      const exited = once(child, "exit");
      if (end === "throw") child.send("throw");
      else child.kill(end);
      const [code] = await exited;
      assert.notEqual(code, 0);
      assert.deepEqual(present(names), []);
    });
  }
});
