/**
 * `npm run test:root [-- NAME...]`: the tests that make network namespaces; NAMEs select files. Says what is missing and
 * fails where it cannot, and fails when a namespace of its own is left.
 */

import { fileURLToPath } from "node:url";
import { namedFiles, runFiles } from "../support/run-files.js";
import { ip, NAME_PREFIX } from "./namespaces.js";

function missing(): string {
  if (process.getuid?.() !== 0) return "test:root wants root: run it as `sudo npm run test:root`";
  const name = `${NAME_PREFIX}${process.pid}-probe`;
  try {
    ip("netns", "add", name);
  } catch (error) {
    return `test:root makes network namespaces with the ip command of iproute2: ${(error as Error).message.trim()}`;
  }
  try {
    ip("netns", "exec", name, "nft", "list", "ruleset");
    return "";
  } catch (error) {
    return `test:root makes networks unkind with the nft command of nftables: ${(error as Error).message.trim()}`;
  } finally {
    ip("netns", "del", name);
  }
}

function namespaces(): string[] {
  const list = JSON.parse(ip("-j", "netns", "list") || "[]") as { name: string }[];
  return list.map(({ name }) => name).filter((name) => name.startsWith(NAME_PREFIX));
}

async function main(): Promise<number> {
  const problem = missing();
  if (problem !== "") {
    console.error(problem);
    return 1;
  }
  const before = new Set(namespaces());
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const wanted = process.argv.slice(2);
  const files = namedFiles(folder, ".netns.js", wanted);
  if (files.length === 0) {
    console.error(`test:root has no file with one of these in its name: ${wanted.join(" ")}`);
    return 2;
  }
  const { pass, fail, skipped } = await runFiles(files);
  const left = namespaces().filter((name) => !before.has(name));
  if (left.length > 0) console.log(`namespaces that are left: ${left.join(", ")}`);
  const failed = fail + skipped + left.length;
  console.log(`${pass} passed, ${failed} failed`);
  return pass > 0 && failed === 0 ? 0 : 1;
}

process.exitCode = await main();
