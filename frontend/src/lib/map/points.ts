/** The points of a map as the API sends them: columns of little-endian numbers, 16 bytes a point. */

export interface MapPoints {
  count: number;
  /** In [-1, 1], y upwards. */
  x: Float32Array;
  y: Float32Array;
  /** The feature's index in its SAE. */
  index: Uint32Array;
  /** Position in the map's `layers`. */
  layer: Uint8Array;
  /** Position in the map's `sources`. */
  source: Uint8Array;
  /** Bits of the map's `flags`. */
  flags: Uint8Array;
  /** Position in the map's `regions`. */
  region: Uint8Array;
}

const BYTES = 16;

/** Lay arrays over an answer; nothing is copied. */
export function readPoints(buffer: ArrayBuffer): MapPoints {
  if (buffer.byteLength % BYTES !== 0) {
    throw new Error(
      `The map's points are ${buffer.byteLength} bytes long, which is no multiple of ${BYTES}; load the page again.`,
    );
  }
  const n = buffer.byteLength / BYTES;
  const bytes = (column: number) => new Uint8Array(buffer, (12 + column) * n, n);
  return {
    count: n,
    x: new Float32Array(buffer, 0, n),
    y: new Float32Array(buffer, 4 * n, n),
    index: new Uint32Array(buffer, 8 * n, n),
    layer: bytes(0),
    source: bytes(1),
    flags: bytes(2),
    region: bytes(3),
  };
}

/** How a point is drawn. */
export const HIDDEN = 0;
export const SHOWN = 1;
export const DIMMED = 2;
export const HIT = 3;

export interface Choice {
  /** Position in the map's layers; null: all. */
  layer: number | null;
  /** Position in the map's sources; null: all. */
  source: number | null;
  /** Features that a search has found, by `keyOf`; null: there is no search. */
  hits: ReadonlySet<number> | null;
  /** Position in the map's regions; null: none is chosen. */
  region: number | null;
}

/** A feature of a map as one number: its layer's position and its index (below 2^20). */
export function keyOf(layer: number, index: number): number {
  return layer * 2 ** 20 + index;
}

/** Decide how each point is drawn, and count the hits among those that are not filtered out. */
export function stateOf(
  points: MapPoints,
  choice: Choice,
): { states: Uint8Array<ArrayBuffer>; hits: number; shown: number } {
  const states = new Uint8Array(points.count);
  let hits = 0;
  let shown = 0;
  for (let i = 0; i < points.count; i++) {
    const layer = points.layer[i] ?? 0;
    if (choice.layer !== null && layer !== choice.layer) continue;
    if (choice.source !== null && points.source[i] !== choice.source) continue;
    shown++;
    const isHit = choice.hits?.has(keyOf(layer, points.index[i] ?? 0)) ?? false;
    const isAside = choice.region !== null && points.region[i] !== choice.region;
    if (isHit) hits++;
    states[i] = isHit ? HIT : choice.hits !== null || isAside ? DIMMED : SHOWN;
  }
  return { states, hits, shown };
}
