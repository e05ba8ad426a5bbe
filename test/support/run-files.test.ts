import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { type RunOptions, runFiles } from "./run-files.js";

const folder = mkdtempSync(join(tmpdir(), "netquic-run-files-"));
after(() => rmSync(folder, { recursive: true, force: true }));

async function run(files: Record<string, string>, options: RunOptions = {}) {
  let shown = "";
  const paths = Object.entries(files).map(([name, body]) => {
    const path = join(folder, `${name}.mjs`);
    writeFileSync(path, `import { test } from "node:test";\n${body}\n`);
    return path;
  });
  const counts = await runFiles(paths, { show: (text) => (shown += text), ...options });
  return { ...counts, shown };
}

describe("test files", () => {
  test("that pass are counted together, and nothing is said to have failed", async () => {
    const two = "test('one', () => {}); test('two', () => {});";
    const { pass, fail, skipped, shown } = await run({ a: two, b: two }, { concurrency: 2 });
    assert.deepEqual([pass, fail, skipped], [4, 0, 0]);
    assert.equal(shown.match(/✔ two/g)?.length, 2);
    assert.doesNotMatch(shown, /failing/);
  });

  test("draw the same values by fast-check in every run", async () => {
    const draw = `import fc from ${JSON.stringify(import.meta.resolve("fast-check"))};
      test("draws", () => console.log("drew", ...fc.sample(fc.nat(), { numRuns: 3, ...fc.readConfigureGlobal() })));`;
    const drawn = [await run({ draw }), await run({ draw })].map(({ shown }) => /drew \d+ \d+ \d+/.exec(shown)?.[0]);
    assert.ok(drawn[0] !== undefined);
    assert.equal(drawn[0], drawn[1]);
  });

  test("that fail are counted, and named again at the end", async () => {
    const { pass, fail, shown } = await run({
      a: "test('breaks', () => { throw new Error('the reason'); });",
      b: "test('stands', () => {});",
    });
    assert.deepEqual([pass, fail], [1, 1]);
    assert.match(shown, /✖ failing tests:\n\n[^]*✖ breaks[^]*the reason/);
  });

  test("that end otherwise than their tests fail by what ended them", async () => {
    const { pass, fail, shown } = await run({
      code: "test('fine', () => {}); process.on('exit', () => { process.exitCode = 7; });",
      crash: "test('fine', () => {}); process.on('exit', () => process.kill(process.pid, 'SIGSEGV'));",
      nothing: "",
    });
    assert.deepEqual([pass, fail], [2, 3]);
    assert.match(shown, /code\.mjs: exit code 7, 1 passed before/);
    assert.match(shown, /crash\.mjs: SIGSEGV/);
    assert.match(shown, /nothing\.mjs: it has no test/);
  });

  test("are counted whatever stands on stderr without an end of its line", async () => {
    const mutter = "test('one', () => {}); process.on('exit', () => process.stderr.write('mutters'));";
    const begin = "process.stderr.write('begins'); test('two', () => process.stderr.write('goes on'));";
    const { pass, fail, skipped } = await run({ mutter, begin });
    assert.deepEqual([pass, fail, skipped], [2, 0, 0]);
  });

  test("that leave behind a process with their pipes are ended with it at their bound", async () => {
    const leave = `import { spawn } from "node:child_process";
      test("leaves", () => spawn("sleep", ["300"], { stdio: "inherit" }).unref());`;
    const { fail, shown } = await run({ leave }, { fileLimitMillis: 1500 });
    assert.equal(fail, 1);
    assert.match(shown, /leave\.mjs: not finished after 1\.5 s/);
  });

  test("that hang are ended at their bound, with what they started", async () => {
    const hang = `import { spawn } from "node:child_process";
      test("hangs", () => new Promise(() => spawn("sleep", ["300"], { stdio: "inherit" }).once("exit", () => {})));`;
    const { pass, fail, shown } = await run({ hang }, { fileLimitMillis: 1500 });
    assert.deepEqual([pass, fail], [0, 1]);
    assert.match(shown, /hang\.mjs: not finished after 1\.5 s/);
  });

  test("that a run's bound keeps from beginning are failed", async () => {
    const hang = "test('hangs', () => new Promise((resolve) => setTimeout(resolve, 60_000)));";
    const { pass, fail, shown } = await run({ a: hang, b: hang }, { runLimitMillis: 1000 });
    assert.deepEqual([pass, fail], [0, 2]);
    assert.match(shown, /b\.mjs: not begun, the run's 1 s were over/);
  });

  test("that skip say so; titles select", async () => {
    const some = "test.skip('left', () => {}); test('taken', () => {}); test('other', () => {});";
    assert.equal((await run({ some })).skipped, 1);
    const { pass, fail } = await run({ some, b: "test('nothing of it', () => {});" }, { titles: ["taken"] });
    assert.deepEqual([pass, fail], [1, 0]);
  });
});
