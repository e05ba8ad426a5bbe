/** Numbers for people: sizes in binary units, line rates in bits, durations as clocks or with a unit. */

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const BIT_UNITS = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];

export function formatBytes(bytes: number): string {
  return scaled(bytes, 1024, BYTE_UNITS);
}

export function formatByteRate(bytesPerSec: number): string {
  return `${formatBytes(bytesPerSec)}/s`;
}

export function formatBitRate(bytesPerSec: number): string {
  return scaled(bytesPerSec * 8, 1000, BIT_UNITS);
}

/** `0:03`, `12:40`, `1:02:03`; rounded up, so that a running transfer never shows zero. */
export function formatClock(seconds: number): string {
  const total = Math.ceil(seconds);
  const s = String(total % 60).padStart(2, "0");
  const m = Math.floor(total / 60) % 60;
  const h = Math.floor(total / 3600);
  return h === 0 ? `${m}:${s}` : `${h}:${String(m).padStart(2, "0")}:${s}`;
}

/** `85 µs`, `4.1 ms`, `2.50 s`. */
export function formatMicros(micros: number): string {
  if (micros < 1000) return `${Math.round(micros)} µs`;
  if (micros < 1e6) return `${threeDigits(micros / 1000)} ms`;
  return `${threeDigits(micros / 1e6)} s`;
}

export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}

/** `1 file`, `3 files`. */
export function formatFiles(count: number): string {
  return counted(count, "file");
}

/** `1 client`, `1,300 clients`: of nouns with a regular plural. */
export function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function scaled(value: number, step: number, units: readonly string[]): string {
  let unit = 0;
  // 999.5 would print as 1000, 1023.5 as 1024
  while (value >= step - 0.5 && unit < units.length - 1) {
    value /= step;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : threeDigits(value)} ${units[unit]}`;
}

function threeDigits(value: number): string {
  if (value >= 99.95) return value.toFixed(0);
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}
