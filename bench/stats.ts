/** Figures of repeated runs: the median is quoted, the spread says how noisy the machine was. */

/** Middle value; the mean of the two middle ones for an even count. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle] as number;
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** Smallest and largest. */
export function spread(values: readonly number[]): [number, number] {
  return [Math.min(...values), Math.max(...values)];
}

/** Median of the ratios run by run: what is left of a difference when the machine's speed drifts. */
export function medianRatio(ours: readonly number[], others: readonly number[]): number {
  return median(ours.map((value, run) => value / (others[run] as number)));
}

/** Three significant digits are all that a shared machine can tell. */
export function round(value: number): number {
  return Number(value.toPrecision(3));
}
