import { describe, expect, test } from "vitest";
import { ApiError } from "./client";
import {
  changedMeanwhile,
  draftOf,
  editAddress,
  leftOut,
  lossesOfAll,
  questionOf,
  shareOfNorm,
  type PinnedIntervention,
  type Target,
} from "./presets";
import { newIntervention, PLAIN, type SteerQuestion } from "./steer";

const QUESTION: SteerQuestion = {
  ...PLAIN,
  text: "the cat",
  interventions: [
    { ...newIntervention("a"), group: "cats" },
    { ...newIntervention("b"), op: "ablate", value: 3, group: "cats", enabled: false },
    newIntervention("c"),
  ],
  groups: [
    { name: "cats", strength: 0.5 },
    { name: "nobody", strength: 1 },
  ],
  prompt: "last",
  special: false,
  tests: [
    {
      name: "meows",
      prompts: ["The cat says"],
      measure: "text",
      of: "meow",
      expect: "above",
      value: 0.5,
      samples: 2,
      tokens: 8,
      temperature: 1,
      seed: 1,
    },
  ],
};

describe("a draft", () => {
  test("says what is done, and comes back as the same question", () => {
    const draft = draftOf(QUESTION);
    expect(draft.interventions.map(({ value }) => value)).toEqual([0.5, null, 0.5]);
    expect(draft.groups).toEqual([{ name: "cats", strength: 0.5 }]);
    expect(draft.positions).toEqual({ prompt: "last", written: true, special: false });

    const back = questionOf(draft, { ...PLAIN, text: "the cat", interventions: [] });
    expect(draftOf(back)).toEqual(draft);
    expect(back.text).toBe("the cat");
  });

  test("begins with the prompt of a test where there is no text", () => {
    const empty = { ...PLAIN, text: "", interventions: [] };
    expect(questionOf(draftOf(QUESTION), empty).text).toBe("The cat says");
  });

  test("is opened without features that were left out, and without their group", () => {
    const empty = { ...PLAIN, text: "", interventions: [] };
    const said = questionOf(draftOf(QUESTION), empty, ["a", "b"]);
    expect(said.interventions.map(({ feature }) => feature)).toEqual(["c"]);
    expect(said.groups).toEqual([]);
  });
});

describe("the share of a norm", () => {
  const pinned: PinnedIntervention = {
    id: "a",
    label: null,
    op: "add",
    group: "cats",
    enabled: true,
    strength: { value: -1, unit: "raw", absolute: -20, d_norm: 0.5, resid_norm: 40 },
  };

  test("counts the group's strength", () => {
    expect(shareOfNorm(pinned, [{ name: "cats", strength: 2 }])).toBeCloseTo(0.5);
    expect(shareOfNorm({ ...pinned, group: null }, [])).toBeCloseTo(0.25);
  });

  test("is not known where the norm was not pinned, or nothing is added", () => {
    const strength = { value: 1, unit: "raw" as const, absolute: 1, d_norm: 1, resid_norm: null };
    expect(shareOfNorm({ ...pinned, strength }, [])).toBeNull();
    const muted: PinnedIntervention = { ...pinned, op: "ablate", strength: undefined };
    expect(shareOfNorm(muted, [])).toBeNull();
  });
});

test("a version is opened whole or without some features", () => {
  expect(editAddress(3, 2)).toBe("/steer?preset=3&version=2");
  expect(new URLSearchParams(editAddress(3, 2, ["a", "b"]).split("?")[1]).get("without")).toBe(
    "a,b",
  );
  const members = [
    { feature: "a", alone: 1, without: 0, kept: true },
    { feature: "b", alone: 0, without: 1, kept: false },
  ];
  expect(leftOut({ members })).toEqual(["b"]);
});

test("what no tool carries is said once", () => {
  const target = (losses: string[], refusals: string[] = []): Target => ({
    ...{ name: "t", title: "T", good_for: "", files: [], verifies: true },
    ...{ losses, refusals },
  });
  const some = [target(["labels", "slider"]), target(["slider"]), target([], ["No."])];
  expect(lossesOfAll(some)).toEqual(["slider"]);
  expect(lossesOfAll(some.slice(0, 1))).toEqual([]);
  expect(lossesOfAll([])).toEqual([]);
});

test("only a precondition that failed tells of somebody else's change", () => {
  const body = { current: { version: 2 } };
  expect(changedMeanwhile(new ApiError(412, "Stale", "", body))?.version).toBe(2);
  expect(changedMeanwhile(new ApiError(409, "Conflict", "", body))).toBeNull();
  expect(changedMeanwhile(new Error("no"))).toBeNull();
});
