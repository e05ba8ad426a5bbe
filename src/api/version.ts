/** The version of this package. */

import { readFileSync } from "node:fs";

let version: string | null = null;

/** As in `package.json`. @throws the file system's error */
export function packageVersion(): string {
  version ??= readVersion();
  return version;
}

function readVersion(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
