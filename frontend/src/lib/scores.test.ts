import { describe, expect, it } from "vitest";
import type { Score } from "./client";
import { apart, figure, isTelling, newestOf, shortScore, spokenScore } from "./scores";

function score(changes: Partial<Score>): Score {
  return {
    label_id: 1,
    scorer: "detection",
    scorer_version: "detection-1",
    judge: "a-judge",
    value: 0.86,
    ci_low: 0.76,
    ci_high: 0.93,
    null_value: 0.5,
    f1: 0.85,
    n_pos: 20,
    n_neg_random: 10,
    n_neg_hard: 10,
    n_failed: 0,
    details: {},
    created_at: "2026-01-01T00:00:00Z",
    ...changes,
  };
}

describe("scores", () => {
  it("of one label are the newest of each scorer, what says most first", () => {
    const all = [
      score({ scorer: "support", value: 0.9 }),
      score({ scorer: "unheard-of" }),
      score({ value: 0.8 }),
      score({ value: 0.1 }),
      score({ label_id: 2, scorer: "fuzzing" }),
    ];

    expect(newestOf(all, 1).map(({ scorer, value }) => [scorer, value])).toEqual([
      ["detection", 0.8],
      ["support", 0.9],
      ["unheard-of", 0.86],
    ]);
    expect(newestOf(all, 3)).toEqual([]);
  });

  it("just below one do not look perfect", () => {
    expect([0, 0.499, 0.5, 0.9951, 1].map(figure)).toEqual([
      "0.00",
      "0.50",
      "0.50",
      "0.99",
      "1.00",
    ]);
  });

  it("show interval and null beside the figure, or that there are none", () => {
    expect(shortScore(score({}))).toBe("0.76 to 0.93, chance 0.50");
    expect(shortScore(score({ ci_high: null, null_value: null }))).toBe(
      "no interval, chance unknown",
    );
  });

  it("are said with interval, null, windows, failures and judge", () => {
    expect(spokenScore(score({ n_failed: 2 }))).toBe(
      "detection 0.86; 95 % interval 0.76 to 0.93; by chance 0.50; " +
        "20 windows that fire it and 20 that do not; " +
        "2 answers unreadable, counted as wrong; judged by a-judge.",
    );
    expect(spokenScore(score({ ci_low: null, null_value: null }))).toBe(
      "detection 0.86; 20 windows that fire it and 20 that do not; judged by a-judge.",
    );
  });

  it("that rest on too little are told apart", () => {
    expect(isTelling(score({ details: { checked: false } }))).toBe(false);
    expect(isTelling(score({ details: { checked: true } }))).toBe(true);
    expect(isTelling(score({}))).toBe(true);
  });
});

describe("senses", () => {
  it("stand apart in words", () => {
    expect([0.4, 0.12, 0.02, -0.1].map(apart)).toEqual([
      "stands well apart from the other senses",
      "stands apart from the other senses",
      "lies close to another sense",
      "runs into another sense",
    ]);
  });
});
