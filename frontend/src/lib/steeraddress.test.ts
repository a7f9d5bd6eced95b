import { describe, expect, test } from "vitest";
import type { PresetTest } from "./presettests";
import { newIntervention, PLAIN, type SteerQuestion } from "./steer";
import { firstOf, groupAddress, steerAddress, steerFrom, steerParams } from "./steeraddress";

const ID = "Tiny-Model/1-res-w1k-l0_8/7";
const OTHER = "Tiny-Model/2-res-w1k-l0_8/9";
const TEST: PresetTest = {
  name: "writes it",
  prompts: ["the, cat"],
  measure: "script",
  of: "Han",
  expect: "above",
  value: 0.5,
  samples: 4,
  tokens: 40,
  temperature: 0.8,
  seed: 1,
};
const QUESTION: SteerQuestion = {
  ...PLAIN,
  text: "the cat, 🎉",
  interventions: [
    { ...newIntervention(ID), value: -0.5, unit: "max_act" },
    { ...newIntervention(OTHER), op: "ablate", value: null, group: "a, b~c %", enabled: false },
  ],
  groups: [{ name: "a, b~c %", strength: 1.5 }],
  goOn: { tokens: 12, temperature: 0, seed: 3 },
  strengths: [0.5, 1],
  prompt: "last",
  written: false,
  special: false,
  askedFor: "in words",
  tests: [TEST],
};

function paramsOf(question: SteerQuestion): URLSearchParams {
  const pairs = Object.entries(steerParams(question) ?? {}).flatMap(([name, value]) =>
    value === null ? [] : [[name, value] as [string, string]],
  );
  return new URLSearchParams(new URLSearchParams(pairs).toString());
}

describe("a question", () => {
  test("stands in an address and comes out of it as it was", () => {
    expect(steerFrom(paramsOf(QUESTION))).toEqual(QUESTION);
    expect(steerParams({ ...QUESTION, text: "x".repeat(5000) })).toBeNull();
  });

  test("without groups stands there as it always did", () => {
    const [first] = QUESTION.interventions;
    const params = paramsOf({ ...QUESTION, interventions: first ? [first] : [], groups: [] });
    expect(params.get("features")).toBe(`${ID}~add~-0.5~max_act`);
    expect(params.has("groups")).toBe(false);
  });

  test("begins with a feature that a link names", () => {
    const params = new URL(steerAddress(ID), "http://here").searchParams;
    expect(steerFrom(params).interventions).toEqual([newIntervention(ID)]);
    const malformed = "features=~,&strengths=x&prompt=y&groups=%25&tests={";
    expect(steerFrom(new URLSearchParams(malformed))).toEqual({
      ...PLAIN,
      text: "",
      interventions: [],
    });
  });

  test("begins with a group that a link names", () => {
    const params = new URL(groupAddress("Chinese, more", [ID, OTHER]), "http://here").searchParams;
    const { interventions, groups } = steerFrom(params);
    expect(groups).toEqual([{ name: "Chinese, more", strength: 1 }]);
    expect(interventions).toEqual(
      [ID, OTHER].map((id) => ({ ...newIntervention(id), group: "Chinese, more" })),
    );
  });

  test("forgets a group that no feature is in", () => {
    expect(steerFrom(new URLSearchParams(`features=${ID}&groups=cats~1`)).groups).toEqual([]);
  });
});

test("only features of one set of a model are steered at once", () => {
  const ids = [ID, "Tiny-Model/1-res-w2k-l0_8/1", OTHER, "Other/1-res-w1k-l0_8/1"];

  expect(firstOf(ids)).toEqual([ID, OTHER]);
  expect(firstOf(ids, 1)).toEqual([ID]);
  expect(firstOf([])).toEqual([]);
});
