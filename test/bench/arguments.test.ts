import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Options, UsageError } from "../../dist-bench/options.js";

const RUN = fileURLToPath(new URL("../../dist-bench/run.js", import.meta.url));

describe("options of a benchmark", () => {
  const table = { runs: "9", streams: "1,8", dirs: "down,up", json: false } as const;
  const parse = (...args: string[]): Options => Options.parse(args, table);
  const refused = (act: () => unknown, message: RegExp): void => {
    assert.throws(
      act,
      (error) => error instanceof UsageError && message.test(error.message) && !/\n/.test(error.message),
    );
  };

  test("have the defaults of the table, and what was given in their place", () => {
    const defaults = parse();
    assert.equal(defaults.count("runs", 10), 9);
    assert.deepEqual(defaults.counts("streams", 10), [1, 8]);
    assert.deepEqual(defaults.choices("dirs", ["down", "up"]), ["down", "up"]);
    assert.equal(defaults.flag("json"), false);
    const given = parse("--runs", "3", "--dirs=up", "--json");
    assert.equal(given.count("runs", 10), 3);
    assert.deepEqual(given.choices("dirs", ["down", "up"]), ["up"]);
    assert.equal(given.flag("json"), true);
  });

  for (const bad of ["0", "-1", "1.5", "1e3", "0x10", "", "two", "11", "1,0", " 1"]) {
    test(`a number of ${JSON.stringify(bad)} is refused by name`, () => {
      refused(() => parse(`--streams=${bad}`).counts("streams", 10), /^--streams is ".*"; whole numbers from 1 to 10 /);
    });
  }

  test("one number is wanted where one is", () => {
    refused(() => parse("--runs", "1,2").count("runs", 10), /^--runs is "1,2"; one whole number from 1 to 10 /);
  });

  test("a word that is not allowed is refused with those that are", () => {
    refused(
      () => parse("--dirs", "down,left").choices("dirs", ["down", "up"]),
      /^--dirs is "down,left"; allowed: down, up/,
    );
  });

  test("a long value is cut and a line break is shown as text", () => {
    refused(() => parse("--runs", `1\n${"9".repeat(500)}`).count("runs", 10), /^--runs is "1\\n9+\.\.\."/);
  });

  test("an unknown option and a missing value name what is there", () => {
    refused(() => parse("--run", "1"), /--run.*options here: --runs --streams --dirs --json$/);
    refused(() => parse("--runs"), /--runs.*options here/);
  });
});

describe("the command", () => {
  for (const [args, message] of [
    [
      [],
      /^bench: no benchmark was named; first comes one of: bulk, handshake, requests, memory, js, copies, file, tunnel, host, net, agent;/,
    ],
    [
      ["swift"],
      /^bench: there is no benchmark "swift"; first comes one of: bulk, handshake, requests, memory, js, copies, file, tunnel, host, net, agent;/,
    ],
    [["toString"], /^bench: there is no benchmark "toString"/],
    [["bulk", "--runs", "none"], /^bench: --runs is "none"; one whole number from 1 to 999 is expected/],
    [["bulk", "--datagrams", "1000"], /^bench: --datagrams is "1000"; whole numbers from 1200 to /],
    [["memory", "--idle", "5"], /^bench: --idle is "5"; one whole number from 10 to /],
    [["handshake", "--in-flight", "257"], /^bench: --in-flight is "257"; one whole number from 1 to 256 /],
    [["copies", "--streams", "1"], /^bench: Unknown option '--streams'; options here: --runs /],
    [["bulk", "fast"], /^bench: unexpected argument "fast"/],
  ] as const) {
    test(`${JSON.stringify(args.join(" "))} is one clear line and exit code 2`, () => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [RUN, ...args], { encoding: "utf8" });
      assert.equal(status, 2);
      assert.equal(stdout, "");
      assert.match(stderr, message);
      assert.equal(stderr.trimEnd().split("\n").length, 1);
    });
  }
});
