import { expect, test } from "vitest";
import { factor, fdrWords, placeOf, ratioWords, spanOf, ticksOf, tickWords } from "./intervals";

const row = (log2: number, low: number, high: number) => ({ log2, low, high });

test("a span holds all intervals and no difference, and is never empty", () => {
  expect(spanOf([row(3, 1.2, 4.1), row(5, 4, 6.5)])).toEqual([0, 7]);
  expect(spanOf([row(-1, -2.5, 0.4)])).toEqual([-3, 1]);
  expect(spanOf([row(20, -40, 60)])).toEqual([-16, 16]);
  expect(spanOf([])).toEqual([-1, 1]);
});

test("places are shares of the span, ends included", () => {
  expect(placeOf(0, [-1, 3])).toBe(0.25);
  expect(placeOf(9, [-1, 3])).toBe(1);
  expect(placeOf(-9, [-1, 3])).toBe(0);
});

test("ticks are few, evenly spaced, and have no difference among them", () => {
  expect(ticksOf([0, 3])).toEqual([0, 1, 2, 3]);
  expect(ticksOf([-3, 10])).toEqual([0, 5, 10]);
  expect(ticksOf([-16, 16])).toEqual([-11, 0, 11]);
  expect([tickWords(3), tickWords(0), tickWords(-2)]).toEqual(["×8", "×1", "×1/4"]);
});

test("ratios are told as factors", () => {
  expect([factor(4), factor(-2), factor(10)]).toEqual(["16", "0.25", "1,000"]);
  expect(ratioWords(row(1, 0, 2))).toBe("2 times as often (95 % interval 1 to 4)");
});

test("a false discovery rate that was not measured says so", () => {
  expect([fdrWords(null), fdrWords(1e-9), fdrWords(0.0213)]).toEqual([
    "not tested",
    "< 0.0001",
    "0.021",
  ]);
});
