import { describe, expect, test } from "vitest";
import {
  lacks,
  newGroup,
  newIntervention,
  numbersOf,
  PLAIN,
  requestOf,
  shownOf,
  shownSoFar,
  titleOf,
  type SteeredVariant,
  type SteerQuestion,
} from "./steer";

const ID = "Tiny-Model/1-res-w1k-l0_8/7";
const QUESTION: SteerQuestion = {
  text: "the cat, 🎉",
  ...PLAIN,
  interventions: [
    { ...newIntervention(ID), value: -0.5, unit: "max_act" },
    { ...newIntervention("Tiny-Model/2-res-w1k-l0_8/9"), op: "ablate", value: null },
  ],
  goOn: { tokens: 12, temperature: 0, seed: 3 },
  strengths: [0.5, 1],
  prompt: "last",
  written: false,
  askedFor: "in words",
};

describe("a question", () => {
  test("asks for no value of what is muted", () => {
    const muted = { ...newIntervention(ID), op: "ablate" as const };
    const asked = requestOf({ ...QUESTION, interventions: [muted], askedFor: "" });
    expect(asked.interventions[0]?.value).toBeNull();
    expect(asked.asked_for).toBeNull();
    expect(asked.positions).toEqual({ prompt: "last", written: false, special: true });
  });

  test("begins with a concept of which each layer adds as much as one feature does", () => {
    const ids = [ID, "Tiny-Model/1-res-w1k-l0_8/8", "Tiny-Model/2-res-w1k-l0_8/9"];
    expect(newGroup(ids, "cats").map(({ value }) => value)).toEqual([0.25, 0.25, 0.5]);
  });

  test("multiplies what is in a group, and asks for nothing that is off", () => {
    const first = { ...newIntervention(ID), group: "cats" };
    const interventions = [first, { ...newIntervention("b"), enabled: false }];
    const asked = requestOf({
      ...QUESTION,
      interventions,
      groups: [{ name: "cats", strength: 0.5 }],
    });
    expect(asked.interventions.map(({ feature, strength }) => [feature, strength])).toEqual([
      [ID, 0.5],
    ]);
  });

  test("says what it lacks", () => {
    expect(lacks(QUESTION, "1")).toBeNull();
    expect(lacks({ ...QUESTION, text: "" }, "1")).toContain("Write a text");
    expect(lacks({ ...QUESTION, interventions: [] }, "1")).toContain("Choose a feature");
    const without = { ...newIntervention(ID), value: null };
    expect(lacks({ ...QUESTION, interventions: [without] }, "1")).toContain("a number");
    const off = { ...newIntervention(ID), enabled: false };
    expect(lacks({ ...QUESTION, interventions: [off] }, "1")).toContain("Switch a feature on");
    const empty = { name: "cats", strength: null };
    expect(lacks({ ...QUESTION, groups: [empty] }, "1")).toContain("each group");
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
