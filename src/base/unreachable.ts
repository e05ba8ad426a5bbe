/** A broken invariant of our own: never the peer's doing, never hidden. */
export function unreachable(what: string): never {
  throw new Error(`netquic bug: ${what}`);
}
