import { describe, expect, it } from "vitest";
import { bands } from "./bands";
import type { Example } from "./client";

function example(activation: number, quantile: number): Example {
  return { activation, quantile } as Example;
}

describe("bands of a sample", () => {
  it("are quarters from strong to weak with the range of each", () => {
    const found = bands([example(1, 0.1), example(9, 0.99), example(8, 0.75), example(4, 0.5)]);

    expect(found.map(({ title, from, until }) => [title, from, until])).toEqual([
      ["Top quarter", 8, 9],
      ["Upper middle quarter", 4, 4],
      ["Bottom quarter", 1, 1],
    ]);
  });

  it("hold every example once, a full quantile among them", () => {
    const sample = [0, 0.25, 0.5, 0.75, 1].map((quantile) => example(quantile + 1, quantile));

    expect(bands(sample).flatMap((band) => band.examples)).toHaveLength(5);
    expect(bands(sample).map((band) => band.examples.length)).toEqual([2, 1, 1, 1]);
  });

  it("of nothing are none", () => {
    expect(bands([])).toEqual([]);
  });
});
