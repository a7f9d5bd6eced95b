import { describe as group, expect, it } from "vitest";
import { describe } from "./changes";

group("describe", () => {
  it("tells what was before and what is since", () => {
    const told = describe({
      kind: "review",
      before: { verdict: "accept", reason: null },
      after: { verdict: "reject", reason: "no" },
      label: "the Nile",
      sense: 1,
    });

    expect(told).toEqual({
      what: "reviewed “the Nile” of sense 1:",
      before: "accept",
      after: "reject",
    });
  });

  it("tells a wording of a sense from one of the feature", () => {
    const told = (sense: number | null): string =>
      describe({ kind: "propose", before: null, after: { text: "x", sense }, label: "x", sense })
        .what;

    expect([told(null), told(0)]).toEqual(["proposed", "proposed for sense 0"]);
  });

  it("tells taking away from giving", () => {
    const none = { label: null, sense: null };
    expect(describe({ kind: "tag", before: { tag: "code" }, after: null, ...none })).toEqual({
      what: "took away the tag",
      before: "code",
      after: "",
    });
    expect(describe({ kind: "comment", before: { text: "x" }, after: null, ...none }).what).toBe(
      "took a comment away:",
    );
  });
});
