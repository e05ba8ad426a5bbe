/**
 * Reading source text for the lint: the files of the tree, and one file split into code and comments. TypeScript 7 has no
 * compiler API, so this is a scanner of its own; it knows comments, strings, templates and the common regular expressions.
 */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * The files that git knows or would add, below `root`, as paths relative to it. Without a git work tree, a lint that checks
 * nothing must not look green, so that is an error.
 */
export function listFiles(root) {
  const done = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  if (done.status !== 0) throw new Error(`lint: git ls-files failed in ${root}: ${done.stderr}`);
  return [...new Set(done.stdout.split("\0"))].filter((path) => path !== "").sort();
}

/** The text of a file, or null when it was deleted or is binary. */
export function readText(path) {
  let text;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return null;
  }
  return text.includes("\0") ? null : text;
}

/** True for tests and what only tests use: they may reach across the house. */
export function isTestFile(path) {
  return /\.(test|contract)\.(ts|mjs)$/.test(path) || path.startsWith("test/");
}

/** Line number (from 1) of an index into `text`. */
export function lineAt(text, index) {
  let line = 1;
  for (let i = text.indexOf("\n"); i !== -1 && i < index; i = text.indexOf("\n", i + 1)) line++;
  return line;
}

/**
 * Splits a source text. `code` has the same length and lines as the text, with comments and the inside of strings blanked;
 * `comments` lists each comment, neighbouring line comments joined into one.
 *
 * @returns {{ code: string, comments: { start: number, text: string }[] }}
 */
export function splitSource(text) {
  const out = Array.from({ length: text.length }, (_, i) => text[i]);
  const comments = [];
  const templates = []; // brace depth at which each open template expression ends
  let depth = 0;
  let i = 0;
  const blank = (from, to) => {
    for (let at = from; at < to; at++) if (out[at] !== "\n") out[at] = " ";
  };
  const skipTemplate = (from) => {
    let at = from;
    while (at < text.length && text[at] !== "`") {
      if (text[at] === "\\") at++;
      else if (text[at] === "$" && text[at + 1] === "{") {
        blank(from, at);
        templates.push(depth++);
        return at + 2;
      }
      at++;
    }
    blank(from, at);
    return at + 1;
  };
  while (i < text.length) {
    const [char, next] = [text[i], text[i + 1]];
    if (char === "/" && next === "/") {
      const end = endOfLine(text, i);
      addComment(comments, text, i, end);
      blank(i, end);
      i = end;
    } else if (char === "/" && next === "*") {
      const close = text.indexOf("*/", i + 2);
      const end = close === -1 ? text.length : close + 2;
      comments.push({ start: i, end, text: text.slice(i, end), isLine: false });
      blank(i, end);
      i = end;
    } else if (char === '"' || char === "'") {
      const end = endOfString(text, i);
      blank(i + 1, end - 1);
      i = end;
    } else if (char === "`") {
      i = skipTemplate(i + 1);
    } else if (char === "/" && startsRegExp(out, i)) {
      const end = endOfRegExp(text, i);
      blank(i + 1, end - 1);
      i = end;
    } else {
      if (char === "{") depth++;
      if (char === "}" && templates.length > 0 && templates[templates.length - 1] === depth - 1) {
        templates.pop();
        depth--;
        i = skipTemplate(i + 1);
        continue;
      }
      if (char === "}") depth--;
      i++;
    }
  }
  return { code: out.join(""), comments: comments.map(({ start, text: body }) => ({ start, text: body })) };
}

/** Module specifiers that a source imports or re-exports, types included. */
export function importsOf(text) {
  const { code } = splitSource(text);
  const found = [];
  const pattern = /\b(?:from|import)\s*\(?\s*(["'])/g;
  for (let match = pattern.exec(code); match !== null; match = pattern.exec(code)) {
    const start = match.index + match[0].length;
    const end = code.indexOf(match[1], start);
    found.push({ specifier: text.slice(start, end), line: lineAt(text, match.index) });
  }
  return found;
}

/** Line comments on neighbouring lines are one text to a reader, and to the citation check. */
function addComment(comments, text, start, end) {
  const last = comments[comments.length - 1];
  if (last?.isLine && /^[ \t]*\r?\n[ \t]*$/.test(text.slice(last.end, start))) {
    last.text += text.slice(last.end, end);
    last.end = end;
    return;
  }
  comments.push({ start, end, text: text.slice(start, end), isLine: true });
}

function endOfLine(text, from) {
  const end = text.indexOf("\n", from);
  return end === -1 ? text.length : end;
}

function endOfString(text, from) {
  let at = from + 1;
  while (at < text.length && text[at] !== text[from] && text[at] !== "\n") at += text[at] === "\\" ? 2 : 1;
  return Math.min(at + 1, text.length);
}

/** A slash starts a regular expression where no value can stand before it. */
function startsRegExp(out, at) {
  let before = at - 1;
  while (before >= 0 && /\s/.test(out[before])) before--;
  if (before < 0) return true;
  if (/[([{,;=:?!&|+\-*%<>~^]/.test(out[before])) return true;
  const word = out.slice(Math.max(0, before - 9), before + 1).join("");
  return /\b(return|typeof|case|in|of|void|delete|throw)$/.test(word);
}

function endOfRegExp(text, from) {
  let inClass = false;
  let at = from + 1;
  while (at < text.length && text[at] !== "\n") {
    if (text[at] === "\\") at++;
    else if (text[at] === "[") inClass = true;
    else if (text[at] === "]") inClass = false;
    else if (text[at] === "/" && !inClass) return at + 1;
    at++;
  }
  return from + 1;
}
