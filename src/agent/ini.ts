/** Configuration files in the form of tlshd's: `[section]`, `key = value`, comments after `#` or `;` at a line's start. */

export interface IniEntry {
  section: string;
  key: string;
  value: string;
  line: number;
}

/** The entries in their order; keys without a value do not count. @throws Error that names the line */
export function parseIni(text: string): IniEntry[] {
  const entries: IniEntry[] = [];
  let section: string | null = null;
  for (const [i, raw] of text.split(/\r?\n/).entries()) {
    const at = i + 1;
    const line = raw.trim();
    if (line === "" || line.startsWith("#") || line.startsWith(";")) continue;
    const heading = /^\[([^\]]+)\]$/.exec(line);
    if (heading !== null) {
      section = (heading[1] as string).trim().replace(/\s+/g, " ");
      continue;
    }
    const [, key, value] = /^([^=\s]+)\s*=\s*(.*)$/.exec(line) ?? [];
    if (key === undefined || value === undefined) throw new Error(`line ${at} is neither [section] nor key = value`);
    if (section === null) throw new Error(`line ${at} stands before the first [section]`);
    if (entries.some((entry) => entry.section === section && entry.key === key)) {
      throw new Error(`line ${at}: ${key} is there twice in [${section}]`);
    }
    if (value !== "") entries.push({ section, key, value, line: at });
  }
  return entries;
}
