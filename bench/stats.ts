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

/** Slope of the line of least squares through the points. NaN for fewer than two. */
export function slope(xs: readonly number[], ys: readonly number[]): number {
  if (xs.length < 2) return Number.NaN;
  const meanX = xs.reduce((sum, x) => sum + x, 0) / xs.length;
  const meanY = ys.reduce((sum, y) => sum + y, 0) / ys.length;
  let along = 0;
  let square = 0;
  for (const [i, x] of xs.entries()) {
    along += (x - meanX) * ((ys[i] as number) - meanY);
    square += (x - meanX) ** 2;
  }
  return along / square;
}
