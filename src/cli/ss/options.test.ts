import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure } from "../failure.js";
import { parseSs } from "./options.js";

test("letters may stand together, and a filter follows them", () => {
  const options = parseSs(["-lnpi4", "sport", "=", ":443"]);
  const { listening, numeric, processes, info, families, all, header } = options;
  assert.deepEqual([listening, numeric, processes, info, all, header], [true, true, true, true, false, true]);
  assert.deepEqual(families, { ipv4: true, ipv6: false });
});

test("without a family both are shown, with both, too", () => {
  assert.deepEqual(parseSs([]).families, { ipv4: true, ipv6: true });
  assert.deepEqual(parseSs(["-46"]).families, { ipv4: true, ipv6: true });
});

test("what is wrong is named", () => {
  for (const [args, message] of [
    [["--proc", "x"], /"x": conns, eps, snmp/],
    [["--proc", "snmp", "sport", "=", "1"], /whole table/],
    [["--proc", "snmp", "-j"], /whole table/],
    [["--proc"], /--proc/],
    [["sport"], /ends too early/],
    [["-Z"], /-Z/],
  ] as const) {
    assert.throws(
      () => parseSs(args),
      (error) => error instanceof Failure && error.exitCode === 2 && message.test(error.message),
    );
  }
});
