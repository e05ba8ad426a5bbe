/**
 * Reads one object of options by name: every value is checked as it is taken, and `finish` refuses what nobody took, so that
 * a misspelt option is an error and never a silent default.
 */

import { invalidType, invalidValue } from "./errors.js";

export class OptionReader {
  private readonly given: Record<string, unknown>;
  private readonly taken = new Set<string>();

  /** `path` is how messages call the object: `options`. */
  constructor(
    given: unknown,
    readonly path: string,
  ) {
    if (given !== undefined && (typeof given !== "object" || given === null || Array.isArray(given))) {
      throw invalidType(path, "an object", given);
    }
    this.given = (given ?? {}) as Record<string, unknown>;
  }

  name(key: string): string {
    return `${this.path}.${key}`;
  }

  /** The value as it is; undefined when absent. */
  raw(key: string): unknown {
    this.taken.add(key);
    return this.given[key];
  }

  nested(key: string): OptionReader {
    return new OptionReader(this.raw(key), this.name(key));
  }

  string(key: string): string | undefined {
    const value = this.raw(key);
    if (value !== undefined && typeof value !== "string") throw invalidType(this.name(key), "a string", value);
    return value;
  }

  oneOf<T extends string>(key: string, allowed: readonly T[]): T | undefined {
    const value = this.string(key);
    if (value !== undefined && !allowed.includes(value as T)) {
      throw invalidValue(this.name(key), `must be one of ${allowed.map((each) => `'${each}'`).join(", ")}`, value);
    }
    return value as T | undefined;
  }

  boolean(key: string): boolean | undefined {
    const value = this.raw(key);
    if (value !== undefined && typeof value !== "boolean") throw invalidType(this.name(key), "a boolean", value);
    return value;
  }

  /** A number or bigint in [min, max]; integers unless `fraction`. */
  number(key: string, min: number, max: number, fraction = false): number | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (typeof value !== "number" && typeof value !== "bigint") {
      throw invalidType(this.name(key), "a number or a bigint", value);
    }
    const number = Number(value);
    if (!(number >= min && number <= max) || (!fraction && !Number.isInteger(number))) {
      const kind = fraction ? "a number" : "an integer";
      throw invalidValue(this.name(key), `must be ${kind} from ${min} to ${max}`, value);
    }
    return number;
  }

  bytes(key: string): Uint8Array | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    const bytes = viewOf(value);
    if (bytes === null) throw invalidType(this.name(key), "an ArrayBuffer or a view of one", value);
    return bytes;
  }

  callback<F>(key: string): F | undefined {
    const value = this.raw(key);
    if (value !== undefined && typeof value !== "function") throw invalidType(this.name(key), "a function", value);
    return value as F | undefined;
  }

  signal(key: string): AbortSignal | undefined {
    const value = this.raw(key);
    if (value !== undefined && !(value instanceof AbortSignal)) {
      throw invalidType(this.name(key), "an AbortSignal", value);
    }
    return value;
  }

  /** @throws for the first option that nobody took. */
  finish(): void {
    for (const [key, value] of Object.entries(this.given)) {
      if (this.taken.has(key) || value === undefined) continue;
      const known = [...this.taken].sort().join(", ");
      throw invalidValue(this.name(key), `is not known here; known are ${known}`, value);
    }
  }
}

/** The bytes of an ArrayBuffer, SharedArrayBuffer or view, without a copy; null for anything else. */
export function viewOf(value: unknown): Uint8Array | null {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return new Uint8Array(value);
  return null;
}
