/** Finds the point under a pointer. */
import KDBush from "kdbush";
import { DIMMED, HIDDEN, type MapPoints } from "./points";

export class Nearest {
  readonly #tree: KDBush;

  constructor(private readonly points: MapPoints) {
    this.#tree = new KDBush(points.count, 64, Float32Array);
    for (let i = 0; i < points.count; i++) this.#tree.add(points.x[i] ?? 0, points.y[i] ?? 0);
    this.#tree.finish();
  }

  /** The nearest visible point within `reach` of a place of the map; null: there is none.
   *
   * One that is dimmed counts as three times as far, so that hits among others can be met.
   */
  find(x: number, y: number, reach: number, states: Uint8Array): number | null {
    let best: number | null = null;
    let least = Infinity;
    for (const i of this.#tree.within(x, y, reach)) {
      if (states[i] === HIDDEN) continue;
      const far = Math.hypot((this.points.x[i] ?? 0) - x, (this.points.y[i] ?? 0) - y);
      const weighed = states[i] === DIMMED ? 3 * far + 1e-9 : far;
      if (weighed < least) [best, least] = [i, weighed];
    }
    return best;
  }
}

/** How far the points of each region reach from its centre: twice their usual distance. */
export function reachOf(
  points: MapPoints,
  regions: readonly { x: number; y: number }[],
): Float64Array {
  const sums = new Float64Array(regions.length);
  const counts = new Float64Array(regions.length);
  for (let i = 0; i < points.count; i++) {
    const place = points.region[i] ?? 0;
    const centre = regions[place];
    if (!centre) continue;
    sums[place] =
      (sums[place] ?? 0) +
      ((points.x[i] ?? 0) - centre.x) ** 2 +
      ((points.y[i] ?? 0) - centre.y) ** 2;
    counts[place] = (counts[place] ?? 0) + 1;
  }
  return sums.map((sum, place) => 2 * Math.sqrt(sum / Math.max(1, counts[place] ?? 1)));
}
