/**
 * Values that a native function must survive: every JavaScript type, numbers past every limit, objects that throw or act
 * when they are read, and memory that is gone, shrunk or shared by the time it is looked at. All of it from a seed.
 */

/** What traps throw: not a fault of the callee. */
export class Trap extends Error {}

/** A generator of 32-bit numbers (mulberry32): small, and the same everywhere. */
export class Dice {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** A whole number, 0 <= it < `end`. */
  below(end: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * end);
  }

  /** True once in `count` times. */
  once(count: number): boolean {
    return this.below(count) === 0;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

const NUMBERS = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  ...[0, -0, 0.5, 1, -1, 3, 255, 65_535, 65_536],
  ...[2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 53, 2 ** 63, 1e308, 5e-324],
];

const TEXTS = ["", "\0", "x\0y", "\ud800", "\udfff\ud800", "%s%n", "DER:00", "é".repeat(300), "a".repeat(70_000)];

const PRIMITIVES: unknown[] = [undefined, null, true, false, 1n, -(2n ** 70n), Symbol("s"), Symbol.iterator];

type Resizable = ArrayBuffer & { resize(bytes: number): void; grow(bytes: number): void };
type ResizableConstructor = new (bytes: number, options: { maxByteLength: number }) => Resizable;

/** A view on memory that another owner has taken. */
function detached<T extends { buffer: ArrayBufferLike }>(view: T): T {
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
  return view;
}

/** A buffer that was larger when the view on it was made; every page of it is gone or just some. */
function shrunk(make: (buffer: ArrayBuffer) => unknown, toBytes: number): unknown {
  const buffer = new (ArrayBuffer as unknown as ResizableConstructor)(65_536, { maxByteLength: 131_072 });
  const view = make(buffer);
  buffer.resize(toBytes);
  return view;
}

function grownShared(): ArrayBuffer {
  const buffer = new (SharedArrayBuffer as unknown as ResizableConstructor)(64, { maxByteLength: 65_536 });
  buffer.grow(4_096);
  return buffer;
}

type WasmMemory = { buffer: ArrayBuffer; grow(pages: number): void };
const { Memory } = (
  globalThis as unknown as { WebAssembly: { Memory: new (size: { initial: number; maximum: number }) => WasmMemory } }
).WebAssembly;

/** Memory of WebAssembly cannot be transferred, but growth detaches it. */
function regrownWasm(): Uint8Array {
  const memory = new Memory({ initial: 1, maximum: 4 });
  const old = new Uint8Array(memory.buffer);
  memory.grow(1);
  return old;
}

const MEMORY: ((dice: Dice) => unknown)[] = [
  () => detached(new Uint8Array(4_096)),
  () => detached(new Int32Array(1_024)),
  () => detached(new Float64Array(1_024)),
  (dice) => shrunk((buffer) => new Uint8Array(buffer), dice.pick([0, 1, 100, 131_072])),
  (dice) => shrunk((buffer) => new Int32Array(buffer), dice.pick([0, 3, 40, 131_072])),
  (dice) => shrunk((buffer) => new Int32Array(buffer, 64, 100), dice.pick([0, 60, 70])),
  (dice) => shrunk((buffer) => new Float64Array(buffer, 8, 16), dice.pick([0, 8, 60])),
  () => new Uint8Array(new SharedArrayBuffer(4_096)),
  () => new Int32Array(new SharedArrayBuffer(4_096)),
  () => new Float64Array(new SharedArrayBuffer(4_096)),
  () => new Uint8Array(grownShared()),
  () => new Int32Array(grownShared()),
  regrownWasm,
  () => new Uint8Array(new Memory({ initial: 1, maximum: 1 }).buffer),
  () => new Uint8Array(0),
  () => new Int32Array(0),
  () => new Uint8Array(64).subarray(64),
  () => new Uint8Array(new ArrayBuffer(65), 1),
  () => new ArrayBuffer(64),
  () => new SharedArrayBuffer(64),
  () => new DataView(new ArrayBuffer(64)),
  () => new Uint8ClampedArray(64),
  () => new BigInt64Array(8),
  () => new Float32Array(16),
  () => new Uint32Array(16),
  () => Buffer.alloc(64),
  () => Buffer.from("pooled"),
];

function throwing(): never {
  throw new Trap("trap");
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

const OBJECTS: (() => unknown)[] = [
  () => ({}),
  () => [],
  () => () => 0,
  () => class Some {},
  () => new Proxy({}, {}),
  () => new Proxy([], {}),
  () => new Proxy({}, { get: throwing }),
  () => new Proxy({}, { has: throwing }),
  () => new Proxy({}, { has: () => true, get: () => undefined }),
  () => new Proxy({}, { has: () => true, get: () => "x" }),
  revoked,
  () => Object.create(null),
  () => Object.freeze({}),
  () => ({ valueOf: throwing, toString: throwing, [Symbol.toPrimitive]: throwing }),
  () => Object.assign(new Array(4_294_967_295), { 0: "x" }),
  () => Object.setPrototypeOf(new Array(100_000), new Proxy([], { get: () => "x" })),
  () => [throwing, Symbol("s"), undefined],
  () => Object.defineProperty(["x"], 1, { get: throwing }),
  () => new Date(Number.NaN),
  () => /x/,
  () => new Map(),
  () => new WeakRef({}),
  () => Promise.resolve(),
  () => new Error("x"),
  () => globalThis,
  () => process,
];

/** One such value. */
export function nasty(dice: Dice): unknown {
  switch (dice.below(5)) {
    case 0:
      return dice.pick(NUMBERS);
    case 1:
      return dice.pick(TEXTS);
    case 2:
      return dice.pick(PRIMITIVES);
    case 3:
      return dice.pick(MEMORY)(dice);
    default:
      return dice.pick(OBJECTS)();
  }
}

/** A number near one of the limits that a table of offsets and lengths has. */
export function edge(dice: Dice, sizeBytes: number): number {
  const near = dice.pick([0, 1, 4, 16, 20, 64, 1_200, sizeBytes - 16, sizeBytes, 65_507, 65_535]);
  if (dice.once(8)) return dice.pick([-1, 2 ** 31 - 1, -(2 ** 31), 2 ** 31 - 16, 65_536]);
  return near + dice.below(5) - 2;
}

/** `options` with some of its fields replaced, missing, or read with a side effect. */
export function spoilt(dice: Dice, options: Record<string, unknown>, act: () => void): unknown {
  const out: Record<string, unknown> = { ...options };
  const names = Object.keys(options);
  for (let i = dice.below(3); i > 0; i--) {
    const name = dice.pick(names);
    const value = out[name];
    const how = dice.below(4);
    if (how === 0) delete out[name];
    else if (how === 1) Object.defineProperty(out, name, { value: nasty(dice), configurable: true });
    else if (how === 2) Object.defineProperty(out, name, { get: throwing, configurable: true });
    else {
      const get = () => {
        act();
        return value;
      };
      Object.defineProperty(out, name, { get, configurable: true });
    }
  }
  return out;
}
