import { describe, expect, it } from "vitest";
import {
  chanceText,
  comparedHeat,
  comparedPieces,
  differingHeat,
  effectScale,
  effectText,
  firingOn,
  hasBoth,
  labelsMoreIn,
  leastChance,
  leaveOutFrom,
  pairFrom,
  pairParams,
  peakOf,
  rowsOf,
  testSentence,
  type Comparison,
  type Difference,
  type Pair,
} from "./compare";

const PAIR: Pair = { release: "R", layers: null, a: ["a river"], b: ["a 河"] };

describe("two sides in an address", () => {
  it.each<Pair>([
    PAIR,
    { ...PAIR, layers: [0, 11], a: ["one", "two\nlines"], b: ['["not a list"'] },
    { ...PAIR, a: ['["reads as a list"]'], b: ["[1]"] },
  ])("come back as they were", (pair) => {
    const params = new URLSearchParams();
    for (const [name, value] of Object.entries(pairParams(pair) ?? {})) {
      if (value) params.set(name, value);
    }
    expect(pairFrom(params)).toEqual(pair);
    expect(hasBoth(pairFrom(params))).toBe(true);
  });

  it("are none where they are too long for one", () => {
    expect(pairParams({ ...PAIR, b: ["河".repeat(1000)] })).toBeNull();
  });

  it("leave out how all texts begin unless it says otherwise", () => {
    const outOf = (query: string) => leaveOutFrom(new URLSearchParams(query));
    expect(outOf("")).toEqual(["prefix"]);
    expect(outOf("without=prefix,tokens")).toEqual(["prefix", "tokens"]);
    expect(outOf("without=nothing")).toEqual([]);
  });
});

function side(rate: number, max: number, tokens: number[], activations: number[]) {
  return { rate, mean: max / 2, max, texts: 1, tokens, activations };
}

function difference(feature: number, effect: number, a = [0, 0], b = [0, 0]): Difference {
  const [rateA = 0, maxA = 0] = a;
  const [rateB = 0, maxB = 0] = b;
  return {
    ...{ feature, effect, p: null, q: null, more_in: effect > 0 ? "b" : "a" },
    a: side(rateA, maxA, maxA ? [0, 2] : [], maxA ? [maxA / 2, maxA] : []),
    b: side(rateB, maxB, maxB ? [0, 2] : [], maxB ? [maxB / 2, maxB] : []),
  } as Difference;
}

const TEXT = {
  ...{
    texts: 1,
    compared: 2,
    text: "abc",
    pieces: ["a", "b", "c"],
    left_out: [true, false, false],
  },
  tokens: [0, 1, 2].map((piece) => ({ piece, sinks: [], special: false, written: false })),
};
const COMPARISON = {
  ...{ id: 1, release: "R", test: null, firing: 3, hidden: 0, a: TEXT, b: TEXT },
  features: ["Chinese text", "Chinese text", null].map((label, index) => ({
    ...{ id: `m/2-s/${index}`, layer: 2, index, label, max_activation: 8, flags: [] },
  })),
  differences: [
    difference(0, 3, [0, 0], [0.6, 8]),
    difference(1, 2, [0.5, 4], [0.4, 6]),
    difference(2, -1, [0.3, 4], [0, 0]),
  ],
} as unknown as Comparison;

describe("what differs", () => {
  const rows = rowsOf(COMPARISON, "effect");

  it("is more on a side by the measure of the order", () => {
    expect(rows.map((row) => row.side)).toEqual(["b", "b", "a"]);
    expect(rowsOf(COMPARISON, "rate").map((row) => row.side)).toEqual(["b", "a", "a"]);
    const noise = { ...COMPARISON, differences: [difference(0, 1e-6, [0.5, 4], [0.5, 4.0001])] };
    expect(rowsOf(noise, "effect")[0]?.side).toBeNull();
    expect(rowsOf(noise, "max")[0]?.side).toBeNull();
  });

  it("is told in labels, each once", () => {
    expect(labelsMoreIn(rows, "b", 3)).toEqual(["Chinese text"]);
    expect(labelsMoreIn(rows, "a", 3)).toEqual([]);
  });

  it("tints tokens by their side's features, and none that is left out", () => {
    expect(differingHeat(TEXT as never, "b", rows)).toEqual([0, 0, 8]);
    expect(differingHeat(TEXT as never, "a", rows)).toEqual([0, 0, 4]);
    expect(comparedHeat(TEXT as never, "a", rows[1]!)).toEqual([0, 0, 4]);
    expect(comparedPieces(TEXT as never, [0, 0, 8]).map(({ shared }) => shared)).toEqual([
      true,
      false,
      false,
    ]);
  });

  it("is found by its token, the strongest first", () => {
    expect(firingOn(rows, "b", 2).map(([{ feature }, value]) => [feature.index, value])).toEqual([
      [0, 8],
      [1, 6],
    ]);
    expect(peakOf(rows[0]!, "b")).toBe(2);
    expect(peakOf(rows[0]!, "a")).toBeNull();
  });
});

describe("figures", () => {
  it("draws effects of two texts to the largest, with a bound, and correlations to 1", () => {
    const wild = { ...COMPARISON, differences: [difference(0, 1e9)] };
    expect(effectScale(COMPARISON)).toBe(3);
    expect(effectScale(wild)).toBe(10);
    expect(effectScale({ ...wild, test: "permutation" })).toBe(1);
  });

  it.each([
    [1.234, "+1.23"],
    [-0.5, "−0.50"],
    [0.001, "0"],
    [-1e9, "−over 10"],
  ])("says of the effect %d: %s", (effect, text) => expect(effectText(effect)).toBe(text));

  it("says how small a chance can be at all", () => {
    expect(leastChance(5, 5)).toBeCloseTo(2 / 252);
    expect(leastChance(1, 2)).toBeCloseTo(2 / 3);
    expect(chanceText(0.00002)).toBe("< 0.001");
    expect(chanceText(0.0456)).toBe("0.046");
  });

  it("says what was tested, and what few texts cannot tell", () => {
    const of = (texts: number) => ({ ...COMPARISON, a: { ...COMPARISON.a, texts } });
    expect(testSentence(COMPARISON)).toContain("Two texts allow no test");
    expect(testSentence({ ...of(2), test: "permutation" })).toContain("below 0.67");
    expect(testSentence({ ...of(400), test: "mann-whitney" })).toContain("Mann-Whitney");
  });
});
