import { describe, expect, test } from "vitest";
import { SteerDraft } from "./steerdraft.svelte";

const A = { id: "Tiny/1-res-w1k-l0_8/1", label: "cats" };
const B = { id: "Tiny/1-res-w1k-l0_8/2", label: "dogs" };

function pets(): SteerDraft {
  const draft = new SteerDraft();
  draft.addGroup("pets", [A, B]);
  return draft;
}

describe("a group of what is being put together", () => {
  test("is one concept: what was chosen before keeps its number", () => {
    const draft = new SteerDraft();
    draft.add(A.id, A.label);
    draft.addGroup("pets", [A, B]);

    expect(draft.interventions.map(({ value, group }) => [value, group])).toEqual([
      [0.5, "pets"],
      [0.25, "pets"],
    ]);
    expect(draft.labels.get(B.id)).toBe("dogs");
    draft.addGroup("pets", [A]);
    expect(draft.groups.map(({ name }) => name)).toEqual(["pets", "pets 2"]);
  });

  test("is muted, and then does again what it did", () => {
    const draft = pets();
    draft.change(B.id, { op: "scale", value: 3 });
    const before = draft.interventions;

    draft.mute("pets", true);
    expect(draft.interventions.map(({ op }) => op)).toEqual(["ablate", "ablate"]);
    draft.mute("pets", false);
    expect(draft.interventions).toEqual(before);
  });

  test("is renamed, strengthened and removed as a whole", () => {
    const draft = pets();
    expect(draft.rename("pets", " animals ")).toBe("animals");
    draft.strengthen("animals", null);
    expect(draft.unfinished).toContain("each group");
    draft.strengthen("animals", 2);
    expect(draft.unfinished).toBeNull();
    draft.removeGroup("animals");
    expect([draft.interventions, draft.groups]).toEqual([[], []]);
  });

  test("goes with its last feature", () => {
    const draft = pets();
    draft.remove(A.id);
    draft.move([B.id], null);
    expect(draft.groups).toEqual([]);
    expect(draft.interventions.map(({ feature }) => feature)).toEqual([B.id]);
  });
});
