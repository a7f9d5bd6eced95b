import { describe, expect, test } from "vitest";
import { freeName, moved, renamed, sharesOf, strengthOf, tidied, type Grouped } from "./groups";
import { newIntervention } from "./steer";

const CATS: Grouped = {
  interventions: [
    { ...newIntervention("a"), group: "cats" },
    { ...newIntervention("b"), group: "cats" },
    newIntervention("c"),
  ],
  groups: [{ name: "cats", strength: 0.5 }],
};

describe("a group", () => {
  test("has a name of its own", () => {
    expect(freeName(CATS.groups, "dogs")).toBe("dogs");
    expect(freeName(CATS.groups, " cats ")).toBe("cats 2");
    expect(freeName([], " ")).toBe("group");
    const both = { ...CATS, groups: [...CATS.groups, { name: "dogs", strength: 1 }] };
    expect(renamed(both, "cats", "dogs").groups[0]?.name).toBe("dogs 2");
    expect(renamed(CATS, "cats", "  ")).toEqual(CATS);
  });

  test("takes its features along when it is renamed", () => {
    const said = renamed(CATS, "cats", "felines");
    expect(said.interventions.map(({ group }) => group)).toEqual(["felines", "felines", null]);
    expect(said.groups).toEqual([{ name: "felines", strength: 0.5 }]);
  });

  test("is made by putting features in, and goes with its last one", () => {
    const dogs = moved(CATS, ["b", "c"], "dogs");
    expect(dogs.groups.map(({ name }) => name)).toEqual(["cats", "dogs"]);
    expect(moved(dogs, ["a"], null).groups.map(({ name }) => name)).toEqual(["dogs"]);
    expect(tidied({ ...CATS, interventions: [] }).groups).toEqual([]);
  });

  test("multiplies what its features do, and no other", () => {
    expect(CATS.interventions.map((one) => strengthOf(CATS.groups, one))).toEqual([0.5, 0.5, 1]);
  });
});

describe("shares of a group", () => {
  const applied = [
    { feature: "a", op: "add" as const, value: 3, share_of_norm: 0.3 },
    { feature: "b", op: "add" as const, value: 1, share_of_norm: 0.1 },
    { feature: "c", op: "add" as const, value: 1, share_of_norm: 0.1 },
  ];

  test("add up to all that it adds", () => {
    const shares = sharesOf(CATS.interventions, CATS.interventions, applied);
    expect(shares.get("a")).toBeCloseTo(0.75);
    expect(shares.get("b")).toBeCloseTo(0.25);
    expect(shares.has("c")).toBe(false);
  });

  test("are not known of what has changed since", () => {
    const now = CATS.interventions.map((one) => (one.feature === "b" ? { ...one, value: 9 } : one));
    expect(sharesOf(now, CATS.interventions, applied).size).toBe(0);
  });

  test("leave out what adds nothing", () => {
    const muted = CATS.interventions.map((one) =>
      one.feature === "b" ? { ...one, op: "ablate" as const } : one,
    );
    const said = applied.map((one) =>
      one.feature === "b" ? { ...one, op: "ablate" as const, share_of_norm: null } : one,
    );
    expect([...sharesOf(muted, muted, said)]).toEqual([["a", 1]]);
  });
});
