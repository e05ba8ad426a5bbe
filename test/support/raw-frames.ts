/** Frames byte by byte, valid or not: written apart from the engine's own writers, so that both are checked. */

export type Part = number | readonly number[] | Uint8Array;

/** Joins bytes, lists of bytes and arrays. */
export function bytes(...parts: Part[]): Uint8Array {
  const lengths = parts.map((part) => (typeof part === "number" ? 1 : part.length));
  const out = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    if (typeof part === "number") out[at++] = part;
    else {
      out.set(part, at);
      at += part.length;
    }
  }
  return out;
}

/** A varint (RFC 9000 §16), in the shortest form or in `length` bytes. */
export function vi(value: number | bigint, length?: 1 | 2 | 4 | 8): Uint8Array {
  let rest = BigInt(value);
  const size = length ?? (rest < 64n ? 1 : rest < 16384n ? 2 : rest < 1n << 30n ? 4 : 8);
  const out = new Uint8Array(size);
  for (let i = size - 1; i >= 0; i--, rest >>= 8n) out[i] = Number(rest & 255n);
  out[0] |= Math.log2(size) << 6;
  return out;
}

export const PING = Uint8Array.of(1);
export const HANDSHAKE_DONE = Uint8Array.of(0x1e);

export function padding(count: number): Uint8Array {
  return new Uint8Array(count);
}

/** ACK of inclusive ranges, largest first. */
export function ack(...ranges: readonly (readonly [first: number, last: number])[]): Uint8Array {
  const [first, last] = ranges[0];
  const parts: Part[] = [2, vi(last), vi(0), vi(ranges.length - 1), vi(last - first)];
  let smallest = first;
  for (const [from, to] of ranges.slice(1)) {
    parts.push(vi(smallest - to - 2), vi(to - from));
    smallest = from;
  }
  return bytes(...parts);
}

/** STREAM with all fields. */
export function stream(id: number | bigint, offset: number | bigint, data: Uint8Array, fin = false): Uint8Array {
  return bytes(fin ? 0x0f : 0x0e, vi(id), vi(offset), vi(data.length), data);
}

export function crypto(offset: number | bigint, data: Uint8Array): Uint8Array {
  return bytes(6, vi(offset), vi(data.length), data);
}

export function reset(id: number | bigint, finalSize: number | bigint, code: number | bigint = 0): Uint8Array {
  return bytes(4, vi(id), vi(code), vi(finalSize));
}

export function stopSending(id: number | bigint, code: number | bigint = 0): Uint8Array {
  return bytes(5, vi(id), vi(code));
}

/** Any frame that is a type and integers. */
export function ints(type: number, ...values: (number | bigint)[]): Uint8Array {
  return bytes(type, ...values.map((value) => vi(value)));
}

/** NEW_CONNECTION_ID; the id and token follow from `seq` unless they are given. */
export function newConnectionId(
  seq: number | bigint,
  retirePriorTo: number | bigint,
  cid: Uint8Array = bytes([0xc1, 0xd0], vi(seq, 8)),
  token: Uint8Array = bytes(vi(seq, 8), [7, 7, 7, 7, 7, 7, 7, 7]),
): Uint8Array {
  return bytes(0x18, vi(seq), vi(retirePriorTo), cid.length, cid, token);
}

export function pathChallenge(value: number): Uint8Array {
  return bytes(0x1a, vi(value, 8));
}

/** draft-ietf-quic-ack-frequency §4. */
export function ackFrequency(seq: number, packets: number, micros: number | bigint, reordering: number): Uint8Array {
  return bytes(vi(0xaf), vi(seq), vi(packets), vi(micros), vi(reordering));
}

export function close(code: number | bigint, reason: Uint8Array = new Uint8Array(0)): Uint8Array {
  return bytes(0x1c, vi(code), 0, vi(reason.length), reason);
}

/** A well-formed frame of each type; `id` is the stream that it names. */
export function sample(type: number, id = 0): Uint8Array {
  if ((type & 0xf8) === 8) {
    return bytes(type, vi(id), (type & 4) === 0 ? [] : vi(0), (type & 2) === 0 ? [] : vi(1), 0x61);
  }
  switch (type) {
    case 0x00:
      return padding(1);
    case 0x02:
      return ack([0, 0]);
    case 0x03:
      return bytes(3, ack([0, 0]).subarray(1), vi(0), vi(0), vi(0));
    case 0x04:
      return reset(id, 0);
    case 0x06:
      return crypto(0, new Uint8Array(0));
    case 0x07:
      return bytes(7, vi(4), [1, 2, 3, 4]);
    case 0x18:
      return newConnectionId(1, 0);
    case 0x19:
      return ints(type, 1);
    case 0x1a:
    case 0x1b:
      return bytes(type, vi(5, 8));
    case 0x1c:
      return close(0);
    case 0x1d:
      return bytes(type, vi(0), vi(0));
    case 0x05:
    case 0x11:
    case 0x15:
      return ints(type, id, 1 << 20);
    case 0x01:
    case 0x1e:
    case 0x1f:
      return bytes(type);
    case 0xaf:
      return ackFrequency(0, 9, 20_000, 3);
    default:
      return ints(type, 200);
  }
}
