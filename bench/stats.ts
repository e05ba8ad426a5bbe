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
  return xs.length < 2 ? Number.NaN : fit(xs, ys).slope;
}

/** Half the width of the 95 % interval of `slope`: a slope that is nearer to 0 is not told from none. NaN below three. */
export function slopeError(xs: readonly number[], ys: readonly number[]): number {
  if (xs.length < 3) return Number.NaN;
  const { slope, square, meanX, meanY } = fit(xs, ys);
  const free = xs.length - 2;
  const residue = xs.reduce((sum, x, i) => sum + ((ys[i] as number) - meanY - slope * (x - meanX)) ** 2, 0);
  return (STUDENT_95[Math.min(free, STUDENT_95.length) - 1] as number) * Math.sqrt(residue / free / square);
}

/** Student's t for 95 % of both sides, by degrees of freedom from 1. */
const STUDENT_95 = [12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

interface Fit {
  slope: number;
  meanX: number;
  meanY: number;
  /** Sum of the squared distances from meanX. */
  square: number;
}

function fit(xs: readonly number[], ys: readonly number[]): Fit {
  const meanX = xs.reduce((sum, x) => sum + x, 0) / xs.length;
  const meanY = ys.reduce((sum, y) => sum + y, 0) / ys.length;
  let along = 0;
  let square = 0;
  for (const [i, x] of xs.entries()) {
    along += (x - meanX) * ((ys[i] as number) - meanY);
    square += (x - meanX) ** 2;
  }
  return { slope: along / square, meanX, meanY, square };
}
