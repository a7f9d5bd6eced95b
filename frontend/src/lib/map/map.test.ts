import { describe, expect, it } from "vitest";
import { pointSize, toMap, toScreen, zoomTo } from "./camera";
import { chooseNames, widthOf } from "./names";
import { Nearest, reachOf } from "./nearest";
import { DIMMED, HIDDEN, HIT, keyOf, readPoints, SHOWN, stateOf } from "./points";

const SIZE = { width: 800, height: 500 };

/** Points as the API sends them: [x, y, index, layer, source, flags, region] each. */
function packed(rows: number[][]): ArrayBuffer {
  const n = rows.length;
  const buffer = new ArrayBuffer(16 * n);
  const view = new DataView(buffer);
  rows.forEach((row, i) => {
    view.setFloat32(4 * i, row[0] ?? 0, true);
    view.setFloat32(4 * (n + i), row[1] ?? 0, true);
    view.setUint32(4 * (2 * n + i), row[2] ?? 0, true);
    for (let column = 3; column < 7; column++)
      view.setUint8(12 * n + (column - 3) * n + i, row[column] ?? 0);
  });
  return buffer;
}

const points = readPoints(
  packed([
    [0, 0, 7, 0, 0, 1, 0],
    [0.5, -0.5, 9, 1, 1, 0, 1],
    [0.52, -0.5, 70_000, 1, 0, 0, 1],
  ]),
);

const ALL = { layer: null, source: null, hits: null, region: null };

describe("points", () => {
  it("are read column by column", () => {
    expect(points.count).toBe(3);
    expect([...points.index]).toEqual([7, 9, 70_000]);
    expect([...points.layer]).toEqual([0, 1, 1]);
    expect([...points.source]).toEqual([0, 1, 0]);
    expect([...points.flags]).toEqual([1, 0, 0]);
    expect([...points.region]).toEqual([0, 1, 1]);
    expect(points.x[2]).toBeCloseTo(0.52);
  });

  it("that are cut short are refused", () => {
    expect(() => readPoints(new ArrayBuffer(17))).toThrow("17 bytes");
  });

  it("are all shown where nothing is asked", () => {
    expect(stateOf(points, ALL)).toEqual({
      states: new Uint8Array([SHOWN, SHOWN, SHOWN]),
      hits: 0,
      shown: 3,
    });
  });

  it("are hidden by a filter, marked by a search, and else dimmed", () => {
    const hits = new Set([keyOf(1, 9), keyOf(0, 7)]);
    expect(stateOf(points, { ...ALL, layer: 1, hits })).toEqual({
      states: new Uint8Array([HIDDEN, HIT, DIMMED]),
      hits: 1,
      shown: 2,
    });
    expect([...stateOf(points, { ...ALL, source: 0 }).states]).toEqual([SHOWN, HIDDEN, SHOWN]);
    expect([...stateOf(points, { ...ALL, layer: -1 }).states]).toEqual([HIDDEN, HIDDEN, HIDDEN]);
  });

  it("outside a chosen region are dimmed", () => {
    expect([...stateOf(points, { ...ALL, region: 1 }).states]).toEqual([DIMMED, SHOWN, SHOWN]);
  });
});

describe("the camera", () => {
  it("finds the place again that it has shown", () => {
    const zoom = { k: 7, x: -120, y: 33 };
    const [left, top] = toScreen(SIZE, zoom, 0.3, -0.4);
    const [x, y] = toMap(SIZE, zoom, left, top);
    expect(x).toBeCloseTo(0.3);
    expect(y).toBeCloseTo(-0.4);
  });

  it("brings a region to the middle and makes it fill the picture", () => {
    const zoom = zoomTo(SIZE, 0.5, -0.5, 0.1);
    expect(toScreen(SIZE, zoom, 0.5, -0.5)).toEqual([400, 250]);
    const [, top] = toScreen(SIZE, zoom, 0.5, -0.4);
    expect(250 - top).toBeGreaterThan(150);
    expect(250 - top).toBeLessThan(250);
  });

  it("draws many points small and few large, larger when near", () => {
    expect(pointSize(SIZE, 800_000, 1)).toBeLessThan(pointSize(SIZE, 100, 1));
    expect(pointSize(SIZE, 800_000, 50)).toBeGreaterThan(pointSize(SIZE, 800_000, 1));
  });
});

describe("names", () => {
  const name = (region: number, left: number, top: number) => ({
    region,
    text: "law, license",
    left,
    top,
  });

  it("of larger regions keep those of smaller ones away", () => {
    const chosen = chooseNames(
      [name(0, 100, 100), name(1, 120, 105), name(2, 100, 140)],
      SIZE,
      null,
    );
    expect(chosen.map(({ region }) => region)).toEqual([0, 2]);
  });

  it("of the chosen region goes first", () => {
    const chosen = chooseNames([name(0, 100, 100), name(1, 120, 105)], SIZE, 1);
    expect(chosen.map(({ region }) => region)).toEqual([1]);
  });

  it("outside the picture are left out", () => {
    expect(chooseNames([name(0, -200, 100), name(1, 100, 900)], SIZE, null)).toEqual([]);
  });

  it("at the border are moved inwards", () => {
    const [only] = chooseNames([name(0, 3, 100)], SIZE, null);
    expect(only?.left).toBeGreaterThan(widthOf("law, license") / 2);
  });

  it("in Chinese are wider than in Latin letters", () => {
    expect(widthOf("文件系统")).toBeGreaterThan(widthOf("file"));
  });
});

describe("the point under a pointer", () => {
  const nearest = new Nearest(points);
  const all = new Uint8Array([SHOWN, SHOWN, SHOWN]);

  it("is the nearest one within reach", () => {
    expect(nearest.find(0.512, -0.5, 0.05, all)).toBe(2);
    expect(nearest.find(0.504, -0.5, 0.05, all)).toBe(1);
    expect(nearest.find(0.2, 0.2, 0.05, all)).toBeNull();
  });

  it("is none that is hidden, and rather a hit than one that is dimmed", () => {
    expect(nearest.find(0.518, -0.5, 0.05, new Uint8Array([SHOWN, SHOWN, HIDDEN]))).toBe(1);
    expect(nearest.find(0.513, -0.5, 0.05, new Uint8Array([DIMMED, HIT, DIMMED]))).toBe(1);
  });

  it("belongs to a region whose reach is known", () => {
    const [first, second] = reachOf(points, [
      { x: 0, y: 0 },
      { x: 0.5, y: -0.5 },
    ]);
    expect(first).toBe(0);
    expect(second).toBeCloseTo(2 * Math.sqrt(0.02 ** 2 / 2));
  });
});
