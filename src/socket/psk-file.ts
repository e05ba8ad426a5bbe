/** Files of pre-shared keys: a line `identity:hexkey` for each, as libquic and psktool have them. Pure text. */

import type { TlsPsk } from "../port/tls.js";
import { MAX_PSK_FILE_KEYS } from "../proto/limits.js";

/** The keys of a file's text in its order; or a sentence that names the line which is wrong. Empty lines do not count. */
export function parsePskFile(text: string): TlsPsk[] | string {
  const keys: TlsPsk[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line === "") continue;
    const at = line.lastIndexOf(":"); // hexadecimal has none, an identity may
    const identity = line.slice(0, Math.max(0, at));
    const hex = line.slice(at + 1);
    if (identity === "" || hex === "" || hex.length % 2 !== 0 || !/^[0-9a-fA-F]+$/.test(hex)) {
      return `line ${i + 1} is not identity:hexkey`;
    }
    if (keys.some((key) => key.identity === identity)) return `line ${i + 1} has an identity that is there already`;
    if (keys.length === MAX_PSK_FILE_KEYS) return `line ${i + 1} is one key too many, ${MAX_PSK_FILE_KEYS} are allowed`;
    keys.push({ identity, key: bytesOf(hex) });
  }
  return keys.length > 0 ? keys : "there is no line identity:hexkey";
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}
