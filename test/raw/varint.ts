/** Variable-length integers (RFC 9000 §16) for the raw peer. */

export function readVarint(buf: Uint8Array, at: number): { value: bigint; next: number } {
  const first = buf[at];
  if (first === undefined) throw new Error("a varint begins past the end");
  const length = 1 << (first >> 6);
  if (at + length > buf.length) throw new Error("a varint is cut");
  let value = BigInt(first & 0x3f);
  for (let i = 1; i < length; i++) value = (value << 8n) | BigInt(buf[at + i] as number);
  return { value, next: at + length };
}
