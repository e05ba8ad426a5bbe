/**
 * Both directions of a message field from one definition. Numbers are in network order, and a length stands before what it
 * measures.
 *
 * Invariant: what `read` accepts is within the bounds of its definition; else the reader's `ok` is false, and what it gave
 * means nothing.
 */

import type { Reader, Writer } from "../base/bytes.js";

export interface Codec<T> {
  write(out: Writer, value: T): void;
  /** Look at `from.ok` before the result is used. */
  read(from: Reader): T;
}

/** A field that may be missing. */
interface Optional<T> extends Codec<T> {
  readonly isOptional: true;
}

/** A definition for each field of T: who adds one to T hears of it from the compiler. */
export type Fields<T> = {
  [K in keyof T]-?: undefined extends T[K] ? Optional<Exclude<T[K], undefined>> : Codec<T[K]>;
};

const NO_BYTES = new Uint8Array(0);
const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Gives up: nothing after it can be read. */
export function refuse(from: Reader): void {
  from.ok = false;
  from.pos = from.end;
}

export function uint16(max = 0xffff): Codec<number> {
  return {
    write: (out, value) => out.u16(value),
    read: (from) => atMost(from, from.u16(), max),
  };
}

export function uint32(max = 2 ** 32 - 1): Codec<number> {
  return {
    write: (out, value) => out.u32(value),
    read: (from) => atMost(from, from.u32(), max),
  };
}

export const flag: Codec<boolean> = {
  write: (out, value) => out.u8(value ? 1 : 0),
  read: (from) => atMost(from, from.u8(), 1) === 1,
};

/** One of some values, as its place in the list. */
export function oneOf<const T>(values: readonly T[]): Codec<T> {
  return {
    write: (out, value) => out.u8(values.indexOf(value)),
    read: (from) => values[atMost(from, from.u8(), values.length - 1)] as T,
  };
}

export function bytes(max: number): Codec<Uint8Array> {
  return {
    write: (out, value) => {
      out.u32(value.length);
      out.bytes(value);
    },
    read: (from) => {
      const length = atMost(from, from.u32(), max);
      return from.ok ? from.take(length) : NO_BYTES;
    },
  };
}

/** UTF-8 of at most `max` bytes. */
export function text(max: number): Codec<string> {
  const encoded = bytes(max);
  return {
    write: (out, value) => encoded.write(out, utf8.encode(value)),
    read: (from) => {
      const found = encoded.read(from);
      try {
        return strictUtf8.decode(found);
      } catch {
        refuse(from);
        return "";
      }
    },
  };
}

export function list<T>(item: Codec<T>, max: number): Codec<T[]> {
  return {
    write: (out, value) => {
      out.u16(value.length);
      for (const one of value) item.write(out, one);
    },
    read: (from) => {
      const found: T[] = [];
      const count = atMost(from, from.u16(), max);
      while (found.length < count && from.ok) found.push(item.read(from));
      return found;
    },
  };
}

/** Values by name. */
export function record<T>(name: Codec<string>, item: Codec<T>, max: number): Codec<Record<string, T>> {
  const entries = list(pair(name, item), max);
  return {
    write: (out, value) => entries.write(out, Object.entries(value)),
    read: (from) => Object.fromEntries(entries.read(from)),
  };
}

function pair<A, B>(first: Codec<A>, second: Codec<B>): Codec<[A, B]> {
  return {
    write: (out, value) => {
      first.write(out, value[0]);
      second.write(out, value[1]);
    },
    read: (from) => [first.read(from), second.read(from)],
  };
}

export function optional<T>(field: Codec<T>): Optional<T> {
  return { ...field, isOptional: true };
}

/** The fields in the order of their definitions, each optional one after a byte that says whether it is there. */
export function struct<T extends object>(fields: Fields<T>): Codec<T> {
  const entries = Object.entries(fields) as [keyof T, Codec<unknown> & { isOptional?: boolean }][];
  return {
    write: (out, value) => {
      for (const [name, field] of entries) {
        const one = value[name];
        if (field.isOptional === true) flag.write(out, one !== undefined);
        if (one !== undefined) field.write(out, one);
      }
    },
    read: (from) => {
      const found: Partial<Record<keyof T, unknown>> = {};
      for (const [name, field] of entries) {
        if (!from.ok) break;
        if (field.isOptional !== true || flag.read(from)) found[name] = field.read(from);
      }
      return found as T;
    },
  };
}

/** One of several kinds of objects, which their field `kind` tells apart; on the wire its number. */
export function union<T extends { kind: string }>(
  kinds: {
    [K in T["kind"]]: readonly [number: number, fields: Fields<Omit<Extract<T, { kind: K }>, "kind">>];
  },
): Codec<T> {
  const rows = Object.entries(kinds) as [string, readonly [number, Fields<object>]][];
  const byKind = new Map(rows.map(([kind, [number, fields]]) => [kind, { number, body: struct(fields) }]));
  const byNumber = new Map(rows.map(([kind, [number, fields]]) => [number, { kind, body: struct(fields) }]));
  return {
    write: (out, value) => {
      const row = byKind.get(value.kind);
      out.u8(row?.number ?? 0);
      row?.body.write(out, value);
    },
    read: (from) => {
      const row = byNumber.get(from.u8());
      if (row === undefined) refuse(from);
      return { kind: row?.kind, ...row?.body.read(from) } as T;
    },
  };
}

function atMost(from: Reader, value: number, max: number): number {
  if (value <= max) return value;
  refuse(from);
  return 0;
}
