import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { agentTargets } from "./agent.js";
import { connectionTarget } from "./connection.js";
import { Coverage } from "./coverage.js";
import { decoderTargets } from "./decoders.js";
import { sessionTargets } from "./sessions.js";
import { fuzz, type Target, tryInput } from "./loop.js";

const RUN = fileURLToPath(new URL("run.js", import.meta.url));

/** Throws behind four conditions: chance alone finds that once in 2^32 inputs. */
const hidden: Target = {
  name: "hidden",
  maxBytes: 8,
  seeds: () => [new Uint8Array(4)],
  run(input) {
    if (input[0] !== 0x5a) return;
    if (input[1] !== 0xc3) return;
    if (input[2] !== 0x17) return;
    if (input[3] === 0x99) throw new Error("found");
  },
};

function command(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [RUN, ...args], { encoding: "utf8", timeout: 150_000 });
}

describe("the fuzzing loop", () => {
  test("is guided by coverage: it finds what lies behind four conditions", () => {
    const coverage = new Coverage((url) => url === import.meta.url);
    const result = fuzz(hidden, 1, coverage, [], (runs) => runs > 300_000);
    coverage.stop();
    assert.match(result.finding?.message ?? "", /found/);
    assert.deepEqual([...(result.finding?.input.subarray(0, 4) ?? [])], [0x5a, 0xc3, 0x17, 0x99]);
  });

  test("stops when it is told to", () => {
    const coverage = new Coverage(() => false);
    const result = fuzz(hidden, 1, coverage, [], (runs) => runs >= 1000);
    coverage.stop();
    assert.ok(result.runs >= 1000 && result.runs < 2000, `${result.runs}`);
    assert.equal(result.finding, null);
  });
});

describe("targets", () => {
  for (const target of [...decoderTargets, ...sessionTargets, ...agentTargets, connectionTarget]) {
    test(`${target.name}: what it begins with is fine`, () => {
      for (const input of [...target.seeds(), new Uint8Array(0), Uint8Array.of(1)]) {
        assert.equal(tryInput(target, input)?.message, undefined);
      }
    });
  }
});

describe("npm run fuzz", () => {
  test("prints inputs, corpus and blocks of each target, and JSON", () => {
    const { status, stdout, stderr } = command("--target", "header", "--runs", "600", "--seed", "7", "--json");
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^header +\d+ inputs, \d+ in the corpus, \d+ blocks reached$/m);
    const report = JSON.parse(stdout.trim().split("\n").at(-1) as string);
    assert.equal(report.seed, 7);
    assert.deepEqual(report.failed, []);
    assert.ok(report.targets[0].runs >= 600 && report.targets[0].blocks > 10);
  });

  test("replays one input", () => {
    const { status, stdout } = command("--target", "frames", "--input", "0301");
    assert.equal(status, 0);
    assert.match(stdout, /^frames: nothing is wrong with this input$/m);
  });

  const bad: [string[], RegExp][] = [
    [["--target", "nope"], /^fuzz: there is no target "nope"; choose from: header, /],
    [["--seconds", "x"], /^fuzz: --seconds is "x"; a whole number from 1 to /],
    [["--input", "00"], /^fuzz: --input needs --target$/m],
    [["--target", "frames", "--input", "0g"], /^fuzz: --input is not hexadecimal/],
    [["--bogus"], /^fuzz: /],
  ];
  for (const [args, message] of bad) {
    test(`${args.join(" ")} is refused in one line`, () => {
      const { status, stderr } = command(...args);
      assert.equal(status, 2);
      assert.match(stderr, message);
      assert.equal(stderr.trim().split("\n").length, 1);
    });
  }
});
