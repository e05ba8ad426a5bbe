/**
 * `npm run test:programs [-- [--install] NAME...]`: real programs over netquic, from Debian packages and from npm. Each is started with
 * a private configuration on high ports of the loopback and ended afterwards. A program that is absent is a failure that
 * names its package; --install lets apt-get fetch it. NAMEs select files.
 */

import { fileURLToPath } from "node:url";
import { namedFiles, runFiles } from "../support/run-files.js";

const FILE_LIMIT_MILLIS = 120_000;

async function main(): Promise<number> {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const args = process.argv.slice(2);
  const wanted = args.filter((arg) => arg !== "--install");
  const files = namedFiles(folder, ".program.js", wanted);
  if (files.length === 0) {
    console.error(`test:programs has no file with one of these in its name: ${wanted.join(" ")}`);
    return 2;
  }
  const { pass, fail, skipped } = await runFiles(files, {
    env: { NETQUIC_INSTALL: args.includes("--install") ? "1" : "" },
    fileLimitMillis: FILE_LIMIT_MILLIS,
  });
  console.log(`${pass} passed, ${fail + skipped} failed`);
  return pass > 0 && fail + skipped === 0 ? 0 : 1;
}

process.exitCode = await main();
