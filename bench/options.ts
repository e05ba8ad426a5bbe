/** Options of a benchmark: what is there and its defaults are a table, every value is checked before anything runs. */

import { parseArgs } from "node:util";

/** A text: the option takes a value, and this is the default; false: it is a flag. */
export type OptionTable = Readonly<Record<string, string | false>>;

/** Bad arguments: the command ends with code 2 and this one line. */
export class UsageError extends Error {}

export class Options {
  private constructor(
    private readonly values: Readonly<Record<string, string | boolean | undefined>>,
    readonly words: readonly string[],
  ) {}

  /** @throws UsageError for an option that is not in the table, or one without its value. */
  static parse(args: readonly string[], table: OptionTable): Options {
    const options = Object.fromEntries(
      Object.entries(table).map(([name, value]) =>
        value === false
          ? ([name, { type: "boolean", default: false }] as const)
          : ([name, { type: "string", default: value }] as const),
      ),
    );
    try {
      const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
      return new Options(values as Record<string, string | boolean>, positionals);
    } catch (error) {
      const [sentence = ""] = (error as Error).message.split(/\. |\n/);
      const known = Object.keys(table).map((name) => `--${name}`);
      throw new UsageError(`${sentence}; options here: ${known.join(" ")}`);
    }
  }

  flag(name: string): boolean {
    return this.values[name] === true;
  }

  /** Whole numbers from `min` to `max`, joined by commas. */
  counts(name: string, max: number, min = 1): number[] {
    const texts = this.text(name).split(",");
    if (texts.every((text) => isCount(text, min, max))) return texts.map(Number);
    const wanted = `whole numbers from ${min} to ${max} are expected, joined by commas`;
    throw new UsageError(`--${name} is ${quoted(this.text(name))}; ${wanted}`);
  }

  count(name: string, max: number, min = 1): number {
    const text = this.text(name);
    if (isCount(text, min, max)) return Number(text);
    throw new UsageError(`--${name} is ${quoted(text)}; one whole number from ${min} to ${max} is expected`);
  }

  /** Words out of `allowed`, joined by commas. */
  choices<T extends string>(name: string, allowed: readonly T[]): T[] {
    const words = this.text(name).split(",");
    if (words.every((word) => (allowed as readonly string[]).includes(word))) return words as T[];
    throw new UsageError(`--${name} is ${quoted(this.text(name))}; allowed: ${allowed.join(", ")}, joined by commas`);
  }

  private text(name: string): string {
    return String(this.values[name] ?? "");
  }
}

function isCount(text: string, min: number, max: number): boolean {
  return /^\d+$/.test(text) && Number(text) >= min && Number(text) <= max;
}

/** On one line, whatever it holds. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text);
}
