/** Intervals of log2 ratios below each other on one axis. */

export interface Interval {
  log2: number;
  low: number;
  high: number;
}

/** From, to: whole powers of two, with 0 among them. */
export type Span = readonly [number, number];

/** Farther out nothing is told apart: 16 is 65,536 times as often. */
const FARTHEST = 16;

/** The span that holds all intervals; half a hit makes an interval wide, so it is bounded. */
export function spanOf(rows: Interval[]): Span {
  const low = Math.min(0, ...rows.map((row) => Math.floor(row.low)));
  const high = Math.max(0, ...rows.map((row) => Math.ceil(row.high)));
  const [from, to] = [Math.max(low, -FARTHEST), Math.min(high, FARTHEST)];
  return from === to ? [-1, 1] : [from, to];
}

/** Where a value lies in a span, 0 to 1; what is beyond its ends lies at them. */
export function placeOf(value: number, [from, to]: Span): number {
  return Math.min(1, Math.max(0, (value - from) / (to - from)));
}

/** Few whole numbers of a span that are evenly far from each other, 0 among them. */
export function ticksOf([from, to]: Span, most = 4): number[] {
  const step = Math.max(1, Math.ceil((to - from) / (most - 1)));
  const out: number[] = [];
  for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) out.push(tick + 0);
  return out;
}

/** A power of two as a factor: `×4`, `×1/4`. */
export function tickWords(tick: number): string {
  return tick >= 0 ? `×${2 ** tick}` : `×1/${2 ** -tick}`;
}

const FACTOR = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 2 });

/** How many times as often: `16`, `0.25`. */
export function factor(log2: number): string {
  return FACTOR.format(2 ** log2);
}

/** `16 times as often (95 % interval 8.3 to 31)`. */
export function ratioWords({ log2, low, high }: Interval): string {
  return `${factor(log2)} times as often (95 % interval ${factor(low)} to ${factor(high)})`;
}

/** A false discovery rate as people write it. */
export function fdrWords(fdr: number | null): string {
  if (fdr === null) return "not tested";
  if (fdr < 0.0001) return "< 0.0001";
  return fdr.toPrecision(2);
}
