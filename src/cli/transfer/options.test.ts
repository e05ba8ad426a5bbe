import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Failure } from "../failure.js";
import { parseTransfer } from "./options.js";

function refusal(...args: string[]): string {
  try {
    parseTransfer(args);
  } catch (error) {
    assert.ok(error instanceof Failure);
    assert.equal(error.exitCode, 2);
    return error.message;
  }
  return assert.fail(`${args.join(" ")} was taken`);
}

describe("the command line of quic transfer", () => {
  test("without arguments both sides run here, with safe defaults", () => {
    const options = parseTransfer([]);
    assert.equal(options.mode, "pair");
    assert.deepEqual(options.files, []);
    assert.equal(options.out, null);
    assert.deepEqual([options.host, options.port, options.streams, options.timeoutSeconds], ["127.0.0.1", 0, 4, 10]);
    assert.equal(options.force, false);
  });

  test("files and options may be mixed, and -- ends the options", () => {
    const options = parseTransfer(["a", "--out", "d", "x/b", "--streams=8", "--", "--c"]);
    assert.deepEqual(options.files, ["a", "x/b", "--c"]);
    assert.equal(options.out, "d");
    assert.equal(options.streams, 8);
  });

  test("--connect takes names and addresses of both families", () => {
    for (const [text, host] of [
      ["example.org:443", "example.org"],
      ["127.0.0.1:443", "127.0.0.1"],
      ["[::1]:443", "::1"],
    ] as const) {
      const options = parseTransfer(["--connect", text]);
      assert.deepEqual([options.mode, options.host, options.port], ["connect", host, 443]);
    }
    for (const text of ["example.org", "::1:443", "[x]:1", "h:0", "h:65536", ":5"]) {
      assert.match(refusal("--connect", text), /is not HOST:PORT/);
    }
  });

  test("--pin takes the digits with or without colons", () => {
    const hex = "0a".repeat(32);
    assert.equal(parseTransfer(["--connect", "h:1", "--pin", hex.toUpperCase()]).pin, hex);
    assert.equal(parseTransfer(["--connect", "h:1", "--pin", Array(32).fill("0A").join(":")]).pin, hex);
    assert.match(refusal("--connect", "h:1", "--pin", "0a"), /64 hexadecimal digits/);
  });

  test("numbers out of range, unknown options and missing values are named", () => {
    assert.match(refusal("--port", "65536"), /--port "65536" is not a whole number from 0 to 65535/);
    assert.match(refusal("--streams", "0"), /--streams "0"/);
    assert.match(refusal("--timeout", "1.5"), /--timeout "1.5"/);
    assert.equal(refusal("--frobnicate"), "Unknown option '--frobnicate'");
    assert.match(refusal("--out"), /--out/);
    assert.match(refusal("--out", ""), /--out is empty/);
  });

  test("options that contradict each other are refused", () => {
    assert.match(refusal("--listen", "--connect", "h:1"), /exclude each other/);
    assert.match(refusal("--listen", "a"), /takes no files/);
    assert.match(refusal("--cert", "a"), /belong together/);
    assert.match(refusal("--connect", "h:1", "--port", "2"), /part of --connect/);
    assert.match(refusal("--connect", "h:1", "--ca", "a", "--pin", "0a".repeat(32)), /exclude each other/);
    assert.match(refusal("--pin", "0a".repeat(32)), /goes with --connect/);
    assert.match(refusal("--listen", "--ca", "x"), /is for the client/);
  });

  test("two files of one name are refused, wherever they are", () => {
    assert.match(refusal("a/x.bin", "b/x.bin"), /two of the files are called x.bin/);
  });

  test("--help wins over everything that is there", () => {
    assert.equal(parseTransfer(["--help", "--listen"]).mode, "help");
  });
});
