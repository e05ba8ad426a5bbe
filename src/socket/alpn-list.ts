/**
 * ALPN lists of sockets: `h3, smb` as text, a row of names inside. A name is a text with a character for each byte, as
 * TLS compares them: exactly, and with case.
 */

/** Longest list that a socket takes, bytes of the text (Linux: 128). */
export const MAX_ALPN_LIST_BYTES = 128;
/** Longest name (RFC 7301 §3.1). */
const MAX_NAME_BYTES = 255;

/**
 * Names of a list in its order; null when one is longer than 255 bytes. Spaces before a name do not count, those after it
 * do; a comma at the end adds nothing; an empty place between two commas is the name "".
 */
export function parseAlpnList(text: string): string[] | null {
  const names = text.split(",").map((part) => part.replace(/^ +/, ""));
  if (names[names.length - 1] === "") names.pop();
  return names.some((name) => name.length > MAX_NAME_BYTES) ? null : names;
}

export function joinAlpnList(names: readonly string[]): string {
  return names.join(",");
}

export function sameList(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name, i) => name === other[i]);
}

export function shareName(one: readonly string[], other: readonly string[]): boolean {
  return one.some((name) => other.includes(name));
}
