import { describe, expect, test } from "vitest";
import {
  lacks,
  newIntervention,
  numbersOf,
  requestOf,
  shownOf,
  shownSoFar,
  steerAddress,
  steerFrom,
  steerParams,
  titleOf,
  type SteeredVariant,
  type SteerQuestion,
} from "./steer";

const ID = "Tiny-Model/1-res-w1k-l0_8/7";
const QUESTION: SteerQuestion = {
  text: "the cat, 🎉",
  interventions: [
    { feature: ID, op: "add", value: -0.5, unit: "max_act" },
    { feature: "Tiny-Model/2-res-w1k-l0_8/9", op: "ablate", value: null, unit: "resid_norm" },
  ],
  goOn: { tokens: 12, temperature: 0, seed: 3 },
  strengths: [0.5, 1],
  prompt: "last",
  written: false,
  askedFor: "in words",
};

function paramsOf(question: SteerQuestion): URLSearchParams {
  const pairs = Object.entries(steerParams(question) ?? {}).flatMap(([name, value]) =>
    value === null ? [] : [[name, value]],
  );
  return new URLSearchParams(pairs);
}

describe("a question", () => {
  test("stands in an address and comes out of it as it was", () => {
    expect(steerFrom(paramsOf(QUESTION))).toEqual(QUESTION);
    expect(steerParams({ ...QUESTION, text: "x".repeat(5000) })).toBeNull();
  });

  test("begins with a feature that a link names", () => {
    const params = new URL(steerAddress(ID), "http://here").searchParams;
    expect(steerFrom(params).interventions).toEqual([newIntervention(ID)]);
    expect(
      steerFrom(new URLSearchParams("features=~,&strengths=x&prompt=y")).interventions,
    ).toEqual([]);
  });

  test("asks for no value of what is muted", () => {
    const muted = { ...newIntervention(ID), op: "ablate" as const };
    const asked = requestOf({ ...QUESTION, interventions: [muted], askedFor: "" });
    expect(asked.interventions[0]?.value).toBeNull();
    expect(asked.asked_for).toBeNull();
    expect(asked.positions).toEqual({ prompt: "last", written: false, special: true });
  });

  test("says what it lacks", () => {
    expect(lacks(QUESTION, "1")).toBeNull();
    expect(lacks({ ...QUESTION, text: "" }, "1")).toContain("Write a text");
    expect(lacks({ ...QUESTION, interventions: [] }, "1")).toContain("Choose a feature");
    const without = { ...newIntervention(ID), value: null };
    expect(lacks({ ...QUESTION, interventions: [without] }, "1")).toContain("a number");
    expect(lacks(QUESTION, "1,,2")).toContain("strengths");
    expect(numbersOf("0.5, 1,-2")).toEqual([0.5, 1, -2]);
    expect(numbersOf(Array(17).fill("1").join())).toBeNull();
  });
});

test("what is written by now stands under what it will be", () => {
  const shown = shownSoFar(QUESTION, [[["a", 0.5]], [], [["b", 1]]]);

  expect(shown.map(titleOf)).toEqual([
    "Unsteered",
    "Steered × 0.5",
    "Steered",
    "Asked for in words",
  ]);
  expect(shown.map(({ tokens }) => tokens.length)).toEqual([1, 0, 1, 0]);
  expect(shown[3]?.prompt).toBe("in words");
});

test("a prompt ends where the model began, whatever its characters take", () => {
  const variant: SteeredVariant = {
    kind: "steered",
    strength: 1,
    text: "🎉 on",
    begun: 2,
    tokens: [{ text: "on", probability: 1, alternatives: [["on", 1]] }],
    means: [],
    distinct: 1,
    divergence: null,
  };

  expect(shownOf(variant).prompt).toBe("🎉 ");
});
