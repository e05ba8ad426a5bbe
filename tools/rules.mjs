/**
 * The house rules that no other tool checks, each a function from a path and its text to a list of findings
 * `{ rule, line, message }`. Paths are relative to the repository. `tools/rules.test.mjs` shows that each rule fires.
 */

import { arrowError, isEngineFile } from "./arrows.mjs";
import { citationErrors, citationTexts } from "./citations.mjs";
import { importsOf, isTestFile, lineAt, splitSource } from "./source.mjs";

const MAX_LINES = 500;
const MAX_TEST_LINES = 1000;
/** Files with a bound of their own, because everything else would grow into them. */
const OWN_MAX_LINES = new Map([["src/conn/connection.ts", 300]]);
/** Constant tables are data: their length says nothing. */
const CONSTANT_TABLE = /(?:static-table|huffman-table|rfc-sections|must-checks-table)\.(?:ts|mjs)$/;

/** Names that do not exist in the engine, and what it uses instead. */
const ENGINE_BANNED = [
  [/(?<![.\w])Date\b/g, "time is an argument"],
  [/(?<![.\w])performance\b/g, "time is an argument"],
  [/\bMath\.random\b/g, "randomness is an argument (port/random)"],
  [/(?<![.\w])crypto\.(?:getRandomValues|randomUUID)\b/g, "randomness is an argument (port/random)"],
  [/(?<![.\w])Promise\b/g, "the engine records what happened, the owner drains it"],
  [/(?<![.\w])(?:async|await)\b(?!\s*[:?,;)=])/g, "the engine records what happened, the owner drains it"],
  [/(?<![.\w])(?:setTimeout|setInterval|setImmediate|queueMicrotask)\b/g, "timers belong to the runtime"],
  [/(?<![.\w])Buffer\b/g, "bytes are Uint8Array"],
  [/(?<![.\w])(?:process|console|globalThis)\./g, "the engine knows no Node API"],
  [/(?<![.\w])EventTarget\b/g, "the engine records what happened, the owner drains it"],
];

/** Folders of one machine: they mean nothing to a reader elsewhere. */
const MACHINE_PATH = /(?<![\w.~$}])\/(?:work|root|farm|home\/[\w.-]+|tmp\/(?:wt|spec|bash_jobs|node\d*))\//g;

const SKIPPED_TEST = /\b(?:test|it|describe|suite)\.(?:skip|todo|only)\b|\b(?:skip|todo|only)\s*:\s*(?:true|"|')/g;

/** Import arrows of the rooms. Tests may reach across. */
export function checkArrows(path, text) {
  if (!/^src\/.*\.ts$/.test(path) || isTestFile(path)) return [];
  const findings = [];
  for (const { specifier, line } of importsOf(text)) {
    const message = arrowError(path, specifier);
    if (message !== "") findings.push({ rule: "arrows", line, message });
  }
  return findings;
}

/** A file that grew past its bound hides a second concept. */
export function checkFileSize(path, text) {
  if (!/^(?:src|test|addon|tools|fuzz|bench)\/.*\.(?:ts|mjs|cjs|cc|h)$/.test(path) || CONSTANT_TABLE.test(path))
    return [];
  const max = OWN_MAX_LINES.get(path) ?? (isTestFile(path) ? MAX_TEST_LINES : MAX_LINES);
  const lines = text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
  if (lines <= max) return [];
  return [{ rule: "file-size", line: max + 1, message: `${lines} lines, at most ${max}: look for the second concept` }];
}

/** No clock, timer, randomness, promise or Node global in the engine. */
export function checkEngineWords(path, text) {
  if (!isEngineFile(path) || !path.endsWith(".ts") || isTestFile(path)) return [];
  const { code } = splitSource(text);
  const findings = [];
  for (const [pattern, message] of ENGINE_BANNED) {
    for (const match of code.matchAll(pattern)) {
      if (match[0] === "Promise" && path.startsWith("src/port/")) continue; // contracts that only the runtime calls
      findings.push({ rule: "engine-words", line: lineAt(code, match.index), message: `${match[0]}: ${message}` });
    }
  }
  return findings;
}

/** Citations stand in one form, so that a script can list them. */
export function checkCitations(path, text) {
  if (!/^(?:src|test|addon|fuzz|bench)\/.*\.(?:ts|cc|h)$/.test(path)) return [];
  const findings = [];
  for (const piece of citationTexts(text).pieces) {
    for (const { index, message } of citationErrors(piece.text)) {
      findings.push({ rule: "citations", line: lineAt(text, piece.start + index), message });
    }
  }
  return findings;
}

/** Nothing committed names a folder of the machine it was written on. */
export function checkMachinePaths(_path, text) {
  return [...text.matchAll(MACHINE_PATH)].map((match) => ({
    rule: "machine-paths",
    line: lineAt(text, match.index),
    message: `"${match[0]}" is a folder of one machine`,
  }));
}

/** A test that does not run says nothing. */
export function checkSkippedTests(path, text) {
  if (!/\.(?:test|contract)\.(?:ts|mjs)$/.test(path)) return [];
  const { code } = splitSource(text);
  return [...code.matchAll(SKIPPED_TEST)].map((match) => ({
    rule: "skipped-tests",
    line: lineAt(code, match.index),
    message: `${match[0]}: every test runs`,
  }));
}

/** Every file that ships starts by saying what it is. */
export function checkHeader(path, text) {
  if (!/^(?:src\/.*\.ts|tools\/.*\.mjs|addon\/.*\.(?:cc|h))$/.test(path) || isTestFile(path)) return [];
  if (/^(?:#!.*\n)?\s*(?:\/\*\*|\/\/)/.test(text)) return [];
  return [{ rule: "header", line: 1, message: "the file starts with a comment that says what it is" }];
}

export const RULES = [
  checkArrows,
  checkFileSize,
  checkEngineWords,
  checkCitations,
  checkMachinePaths,
  checkSkippedTests,
  checkHeader,
];
