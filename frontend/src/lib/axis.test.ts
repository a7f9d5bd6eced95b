import { describe, expect, it } from "vitest";
import { logTicks } from "./axis";

describe("a logarithmic axis", () => {
  it("has round numbers where they belong between the edges", () => {
    const ticks = logTicks([1, 10, 100]);

    expect(ticks.map((tick) => tick.value)).toEqual([1, 3, 10, 30, 100]);
    expect(ticks.map((tick) => Number(tick.at.toFixed(3)))).toEqual([0, 0.239, 0.5, 0.739, 1]);
  });

  it("uses 1, 2 and 5 over less than two decades", () => {
    expect(logTicks([1, 2, 4, 8, 16]).map((tick) => tick.value)).toEqual([1, 2, 5, 10]);
  });

  it("starts after an edge of zero", () => {
    const [first] = logTicks([0, 1, 10, 100]);

    expect(first?.value).toBe(1);
    expect(first?.at).toBeCloseTo(1 / 3);
  });

  it("shows the edges where no round numbers lie between them", () => {
    expect(logTicks([5.1, 5.9]).map((tick) => tick.value)).toEqual([5.1, 5.9]);
    expect(logTicks([])).toEqual([]);
  });
});
