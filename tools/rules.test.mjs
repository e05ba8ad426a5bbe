import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ARROWS, arrowError, SIBLINGS } from "./arrows.mjs";
import { citationErrors, citationsIn } from "./citations.mjs";
import {
  checkArrows,
  checkCitations,
  checkEngineWords,
  checkFileSize,
  checkHeader,
  checkMachinePaths,
  checkSkippedTests,
} from "./rules.mjs";
import { importsOf, splitSource } from "./source.mjs";

const messages = (findings) => findings.map(({ line, message }) => `${line}: ${message}`);

describe("splitSource", () => {
  test("blanks comments and strings and keeps every line and length", () => {
    const text = 'const a = "Date"; // Date\n/* Date\n */ const b = `x${Date}y`; const c = /Date"/; d = 4 / 2; // "\n';
    const { code } = splitSource(text);
    assert.equal(code.length, text.length);
    assert.equal(code.split("\n").length, text.split("\n").length);
    assert.deepEqual(code.match(/Date/g), ["Date"], "only the one in the template expression is code");
    assert.ok(code.includes("d = 4 / 2;"));
  });

  test("joins neighbouring line comments into one text", () => {
    const { comments } = splitSource("// RFC 9000\n  // §4.1 holds\nx(); // other\n");
    assert.equal(comments.length, 2);
    assert.match(comments[0].text, /RFC 9000\n {2}\/\/ §4\.1/);
  });

  test("finds imports of every form, and none in comments and strings", () => {
    const text = [
      'import { a } from "./a.js";',
      "import type {\n  B,\n} from './b.js';",
      'export * from "./c.js";',
      'import "./d.js";',
      'const e = await import("./e.js");',
      '// import "./no.js";',
      "const s = 'from \"./no.js\"';",
    ].join("\n");
    const found = importsOf(text).map(({ specifier }) => specifier);
    assert.deepEqual(found, ["./a.js", "./b.js", "./c.js", "./d.js", "./e.js"]);
  });
});

describe("arrows", () => {
  const cases = [
    ["src/conn/receive.ts", "../packet/header.js", true],
    ["src/conn/receive.ts", "../endpoint/route.js", false],
    ["src/endpoint/endpoint.ts", "../conn/connection.js", true],
    ["src/stream/table.ts", "../inqueue/events.js", false],
    ["src/inqueue/streams.ts", "../stream/table.js", true],
    ["src/inqueue/streams.ts", "../outqueue/streams.js", false],
    ["src/packet/header.ts", "../observe/drop-reason.js", true],
    ["src/packet/header.ts", "../frame/decode.js", false],
    ["src/proto/space.ts", "../port/tls.js", true],
    ["src/port/transport.ts", "../proto/space.js", false],
    ["src/base/varint.ts", "../proto/limits.js", false],
    ["src/sim/network.ts", "../endpoint/endpoint.js", false],
    ["src/h3/frames.ts", "../qpack/decoder.js", true],
    ["src/h3/frames.ts", "../socket/table.js", false],
    ["src/h3/frames.ts", "../stream/table.js", false],
    ["src/runtime/loop.ts", "../endpoint/endpoint.js", true],
    ["src/runtime/loop.ts", "../api/quic/index.js", false],
    ["src/api/quic/session.ts", "../../conn/connection.js", false],
    ["src/api/quic/session.ts", "../net/socket.js", false],
    ["src/api/quic/session.ts", "../../port/transport.js", true],
    ["src/api/offload/transmit.ts", "../../packet/number.js", true],
    ["src/api/offload/transmit.ts", "../../conn/connection.js", false],
    ["src/api/quic/session.ts", "../../packet/number.js", false],
    ["src/cli/quic.ts", "../api/quic/index.js", true],
    ["src/cli/quic.ts", "../runtime/loop.js", false],
    ["src/cli/quic.ts", "node:fs", true],
    ["src/cli/quic.ts", "commander", false],
    ["src/conn/close.ts", "node:fs", false],
    ["src/conn/close.ts", "../frame/close", false],
    ["src/conn/close.ts", "../frame/close.test.js", false],
    ["src/conn/close.ts", "../../test/support/null-tls.js", false],
    ["src/nowhere/x.ts", "../base/varint.js", false],
  ];
  for (const [path, specifier, allowed] of cases) {
    test(`${path} ${allowed ? "may" : "must not"} import ${specifier}`, () => {
      assert.equal(arrowError(path, specifier) === "", allowed);
    });
  }

  test("the seven siblings never import each other", () => {
    for (const from of SIBLINGS) {
      for (const to of SIBLINGS) {
        assert.equal(arrowError(`src/${from}/a.ts`, `../${to}/b.js`) === "", from === to, `${from} > ${to}`);
      }
    }
  });

  test("no two rooms may import each other, directly or in a circle", () => {
    const reaches = (room, seen) => {
      for (const next of ARROWS[room]) if (!seen.has(next)) reaches(next, seen.add(next));
      return seen;
    };
    for (const room of Object.keys(ARROWS)) assert.ok(!reaches(room, new Set()).has(room), room);
  });

  test("the rule reads a file, names the line, and leaves tests alone", () => {
    const text = '\nimport type { Conn } from "../conn/connection.js";\n';
    assert.match(messages(checkArrows("src/stream/send.ts", text))[0], /^2: "stream" must not import "conn"/);
    assert.deepEqual(checkArrows("src/stream/send.test.ts", text), []);
  });
});

describe("house rules", () => {
  test("file size: 500 lines, tests 1,000, connection.ts 300, tables free", () => {
    const lines = (n) => "x\n".repeat(n);
    assert.equal(checkFileSize("src/stream/table.ts", lines(500)).length, 0);
    assert.equal(checkFileSize("src/stream/table.ts", lines(501)).length, 1);
    assert.equal(checkFileSize("addon/module.cc", lines(501)).length, 1);
    assert.equal(checkFileSize("src/stream/table.test.ts", lines(1000)).length, 0);
    assert.equal(checkFileSize("src/stream/table.test.ts", lines(1001)).length, 1);
    assert.equal(checkFileSize("src/conn/connection.ts", lines(300)).length, 0);
    assert.equal(checkFileSize("src/conn/connection.ts", lines(301)).length, 1);
    assert.equal(checkFileSize("src/qpack/static-table.ts", lines(900)).length, 0);
    assert.equal(checkFileSize("docs/errors.md", lines(900)).length, 0);
  });

  const banned = [
    "const t = Date.now();",
    "const d = new Date();",
    "performance.now();",
    "Math.random();",
    "crypto.getRandomValues(x);",
    "let p: Promise<void>;",
    "async function f() {}",
    "setTimeout(f, 1);",
    "Buffer.alloc(1);",
    "process.exit();",
    "console.log(1);",
    "globalThis.x = 1;",
    "new EventTarget();",
  ];
  for (const line of banned) {
    test(`the engine does not say ${line}`, () => {
      assert.equal(checkEngineWords("src/conn/close.ts", line).length, 1);
      assert.equal(checkEngineWords("src/runtime/loop.ts", line).length, 0);
      assert.equal(checkEngineWords("src/conn/close.test.ts", line).length, 0);
      assert.equal(checkEngineWords("src/conn/close.ts", `// ${line}\nconst s = ${JSON.stringify(line)};`).length, 0);
    });
  }

  test("words that only look like banned ones pass", () => {
    const text = "conn.process.x(); row.Date; let updateDate = 1; ring.Buffer; sendBuffer(); class SendBuffer {}";
    assert.deepEqual(checkEngineWords("src/conn/close.ts", text), []);
  });

  test("no folder of one machine in any file", () => {
    for (const folder of ["work", "root", "home/someone", "farm", "tmp/wt"]) {
      assert.equal(checkMachinePaths("docs/x.md", `see /${folder}/x.md`).length, 1, folder);
    }
    for (const before of ["src", "..", "https://a.test"]) {
      assert.deepEqual(checkMachinePaths("docs/x.md", `see ${before}/${"work"}/x.ts`), [], before);
    }
    assert.deepEqual(checkMachinePaths("docs/x.md", `see dist/${"tmp"}/`), []);
  });

  test("no skipped test", () => {
    for (const line of [
      "test.skip('x')",
      "describe.only('x')",
      "test('x', { skip: true })",
      "test('x', { todo: 'y' })",
    ]) {
      assert.equal(checkSkippedTests("src/conn/close.test.ts", line).length, 1, line);
    }
    assert.deepEqual(checkSkippedTests("src/conn/close.test.ts", "reader.skip(3); test('skip: x', f)"), []);
  });

  test("a file starts by saying what it is", () => {
    assert.equal(checkHeader("src/conn/close.ts", 'import "./a.js";\n').length, 1);
    assert.equal(checkHeader("src/cli/quic.ts", "#!/usr/bin/env node\n/** The command. */\n").length, 0);
    assert.equal(checkHeader("addon/js.h", "// Helpers.\n").length, 0);
  });
});

describe("citations", () => {
  const good = [
    "RFC 9000 §13.2.1",
    "RFC 9002 §5, §7, Appendix B; RFC 9438; RFC 9000 §4.1 and §4.2",
    "RFC 9001 §A.1",
    "draft-ietf-quic-ack-frequency §4",
  ];
  for (const text of good) test(`accepts ${text}`, () => assert.deepEqual(citationErrors(text), []));

  const bad = [
    "RFC9000 §4.1",
    "rfc 9000 §4.1",
    "RFC 9000§4.1",
    "RFC 9000, §4.1",
    "RFC 9000 Section 4.1",
    "RFC 9000, section 4.1",
    "RFC 9000 4.1",
    "RFC 9000 § 4.1",
    "see §4.1",
    "RFC 9000 §99.1",
    "RFC 9002 §13.2.1",
  ];
  for (const text of bad) test(`refuses ${text}`, () => assert.notDeepEqual(citationErrors(text), []));

  test("a section belongs to the RFC named last", () => {
    const found = citationsIn("RFC 9000 §4.1, §4.2; RFC 9001 §5").map(({ rfc, section }) => `${rfc} ${section}`);
    assert.deepEqual(found, ["9000 4.1", "9000 4.2", "9001 5"]);
  });

  test("the rule sees comments and titles and names the line", () => {
    const text = "/**\n * As RFC9000 says.\n */\ntest('RFC 9000 Section 4', f);\n// file rfc9000.md is fine\n";
    assert.deepEqual(
      messages(checkCitations("src/conn/close.test.ts", text)).map((m) => m.slice(0, 2)),
      ["2:", "4:"],
    );
  });
});
