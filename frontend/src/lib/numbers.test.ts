import { describe, expect, it } from "vitest";
import {
  activation,
  count,
  duration,
  onDensityScale,
  oneIn,
  percent,
  plural,
  size,
} from "./numbers";

describe("numbers", () => {
  it("of activations have three digits that count", () => {
    expect([41.683, 9.3, 0.01234, 1234.5, 0].map(activation)).toEqual([
      "41.7",
      "9.3",
      "0.0123",
      "1,230",
      "0",
    ]);
  });

  it("of tiny shares do not become zero", () => {
    expect([0, 1, 0.101, 0.00041, 0.0000004, 1e-9].map(percent)).toEqual([
      "0 %",
      "100 %",
      "10 %",
      "0.041 %",
      "< 0.0001 %",
      "< 0.0001 %",
    ]);
  });

  it("of densities are said as one in so many tokens", () => {
    expect([0, 0.9, 0.4, 0.0042].map(oneIn)).toEqual([
      "no token",
      "most tokens",
      "1 in 2.5 tokens",
      "1 in 240 tokens",
    ]);
  });

  it("of densities lie on six decades", () => {
    expect(onDensityScale(0)).toBe(0);
    expect(onDensityScale(1)).toBe(1);
    expect(onDensityScale(1e-3)).toBeCloseTo(0.5);
    expect(onDensityScale(1e-9)).toBeGreaterThan(0);
  });

  it("of seconds are said in the two units that matter", () => {
    const start = "2026-01-01T00:00:00Z";

    expect(duration(start, "2026-01-01T00:00:42Z")).toBe("42 s");
    expect(duration(start, "2026-01-01T00:05:12Z")).toBe("5 min 12 s");
    expect(duration(start, "2026-01-01T02:05:12Z")).toBe("2 h 5 min");
    expect(duration(start, "2025-12-31T00:00:00Z")).toBe("0 s");
  });

  it("of bytes are said in the unit that leaves some of them", () => {
    const sizes = [0, 1, 48_200, 999_499, 999_501, 1_100_000, 9_960_000, 537_010_176, 12.9e9];

    expect([...sizes, 1.01e12].map(size)).toEqual([
      "0 kB",
      "1 kB",
      "48 kB",
      "999 kB",
      "1.0 MB",
      "1.1 MB",
      "10 MB",
      "537 MB",
      "12.9 GB",
      "1.0 TB",
    ]);
  });

  it("agree with their nouns", () => {
    expect([plural(1, "step"), plural(2048, "feature"), count(0)]).toEqual([
      "1 step",
      "2,048 features",
      "0",
    ]);
  });
});
