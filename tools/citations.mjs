/**
 * Citations of the standards, always `RFC 9000 §13.2.1`. As a library: the check of their form for the lint. As a program,
 * `node tools/citations.mjs [RFC]`: which sections are cited in code and which in tests.
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RFC_SECTIONS } from "./rfc-sections.mjs";
import { isTestFile, lineAt, listFiles, readText, splitSource } from "./source.mjs";

const BAD_FORMS = [
  [/\bRFC[-_]?\d{3,5}/g, "write `RFC 9000`, with a space"],
  [/\b(?:rfc|Rfc) \d{3,5}/g, "write `RFC` in capitals"],
  [/\bRFC \d{3,5}§/g, "write a space before §"],
  [/\bRFC \d{3,5},? [Ss]ec(?:tion|t?\.)/g, "write `RFC 9000 §13.2.1`, not `Section`"],
  [/\bRFC \d{3,5}, §/g, "write `RFC 9000 §13.2.1` without a comma"],
  [/\bRFC \d{3,5} \d+\.\d/g, "write § before the section number"],
  [/§\s+[\dA-Z]/g, "write § and the section number without a space"],
  [/§§/g, "write one § for each section"],
];
/** A document, or a section of the document named last. */
const TOKEN = /\bRFC (\d{3,5})\b|\b(draft-[a-z0-9-]+)|§([A-Z](?:\.\d+)*|\d+(?:\.\d+)*)/g;

/** What is wrong with the citations of one piece of text (a comment, a title): `{ index, message }`. */
export function citationErrors(text) {
  const errors = [];
  for (const [pattern, message] of BAD_FORMS) {
    for (const match of text.matchAll(pattern))
      errors.push({ index: match.index, message: `"${match[0]}": ${message}` });
  }
  for (const { index, rfc, section } of citationsIn(text)) {
    if (rfc === "") {
      errors.push({ index, message: `"§${section}": name the RFC that it is a section of` });
    } else if (RFC_SECTIONS.has(rfc) && !RFC_SECTIONS.get(rfc).has(section)) {
      errors.push({ index, message: `"RFC ${rfc} §${section}": there is no such section` });
    }
  }
  return errors.sort((a, b) => a.index - b.index);
}

/** The sections cited in a text; a § belongs to the last RFC (or draft) named before it. */
export function citationsIn(text) {
  const found = [];
  let rfc = "";
  for (const match of text.matchAll(TOKEN)) {
    if (match[3] === undefined) rfc = match[1] ?? match[2];
    else found.push({ index: match.index, rfc, section: match[3] });
  }
  return found;
}

/** The texts of a file in which citations stand: comments, and lines with strings (titles, reasons) in code. */
export function citationTexts(text) {
  const { code, comments } = splitSource(text);
  const pieces = comments.map(({ start, text: body }) => ({ start, text: body }));
  const isComment = new Uint8Array(text.length);
  for (const { start, text: body } of comments) isComment.fill(1, start, start + body.length);
  let lineStart = 0;
  for (const line of text.split("\n")) {
    let rest = "";
    for (let i = 0; i < line.length; i++) rest += isComment[lineStart + i] ? " " : line[i];
    if (rest.includes("§") || /RFC ?\d/.test(rest)) pieces.push({ start: lineStart, text: rest });
    lineStart += line.length + 1;
  }
  return { code, pieces };
}

function main(root, only) {
  const cited = new Map(); // "9000 §4.1" => { code, tests }
  for (const path of listFiles(root)) {
    if (!/^(src|test|addon|fuzz)\/.*\.(ts|cc|h)$/.test(path)) continue;
    const text = readText(join(root, path));
    if (text === null) continue;
    for (const piece of citationTexts(text).pieces) {
      for (const { rfc, section, index } of citationsIn(piece.text)) {
        const row = cited.get(`${rfc} §${section}`) ?? { code: [], tests: [] };
        row[isTestFile(path) ? "tests" : "code"].push(`${path}:${lineAt(text, piece.start + index)}`);
        cited.set(`${rfc} §${section}`, row);
      }
    }
  }
  const collator = new Intl.Collator("en", { numeric: true });
  for (const key of [...cited.keys()].sort(collator.compare)) {
    if (only !== undefined && !key.startsWith(`${only} `)) continue;
    const { code, tests } = cited.get(key);
    console.log(`RFC ${key}\tcode ${code.length}\ttests ${tests.length}\t${[...code, ...tests].slice(0, 3).join(" ")}`);
  }
  const untested = [...cited].filter(([, row]) => row.tests.length === 0).length;
  console.log(`${cited.size} sections cited, ${cited.size - untested} of them in tests`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(fileURLToPath(new URL("..", import.meta.url)), process.argv[2]);
}
