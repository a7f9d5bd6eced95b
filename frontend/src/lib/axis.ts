/** A logarithmic axis: where round numbers stand between edges that are spaced evenly by ratio. */

export interface Tick {
  value: number;
  /** 0 at the first edge, 1 at the last. */
  at: number;
}

const STEPS = [[1, 2, 5], [1, 3], [1]];
const MOST = 6;

/** Round numbers with their places; the first edge may be 0, which no logarithm reaches. */
export function logTicks(edges: number[]): Tick[] {
  const known = edges.filter((edge) => edge > 0 && Number.isFinite(edge));
  const [first, last] = [known[0], known.at(-1)];
  if (first === undefined || last === undefined || first === last) return [];
  const skipped = edges.indexOf(first);
  const span = edges.length - 1;
  const place = (value: number): number =>
    (skipped + (Math.log(value / first) / Math.log(last / first)) * (known.length - 1)) / span;
  const sets = STEPS.map((steps) => rounds(first, last, steps));
  const chosen = sets.find((set) => set.length <= MOST) ?? sets.at(-1) ?? [];
  const values = chosen.length < 2 ? [first, last] : chosen;
  return values.map((value) => ({ value, at: place(value) }));
}

function rounds(first: number, last: number, steps: number[]): number[] {
  const out: number[] = [];
  for (let power = Math.floor(Math.log10(first)); power <= Math.ceil(Math.log10(last)); power += 1)
    for (const step of steps) {
      const value = Number((step * 10 ** power).toPrecision(1));
      if (value >= first && value <= last) out.push(value);
    }
  return out;
}
