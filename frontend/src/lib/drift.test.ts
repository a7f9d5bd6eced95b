import { describe, expect, it } from "vitest";
import type { Coverage, Drift, Labeling } from "./client";
import { comparable, labelingName, newestTwo, otherEnds } from "./drift";

function labeling(id: number, more: Partial<Labeling> = {}): Labeling {
  return {
    id,
    job_id: 1,
    run_id: 1,
    source: "keywords",
    method: "keywords-2",
    parameters: {},
    created_at: "2026-03-01T12:00:00Z",
    finished_at: "2026-03-01T12:00:00Z",
    outcomes: {},
    ...more,
  };
}

const ids = (pair: Labeling[] | null) => pair?.map((one) => one.id);

describe("labelings to compare", () => {
  it("are those that are over", () => {
    const layer = { labelings: [labeling(2, { finished_at: null }), labeling(1)] };

    expect(ids(comparable(layer as Coverage))).toEqual([1]);
  });

  it("are the last two of the whole layer, the earlier first, unless two models spoke", () => {
    const some = labeling(9, { parameters: { features: [3] } });
    const llm = (id: number) => labeling(id, { source: "llm", method: "a-model" });

    expect(ids(newestTwo([some, labeling(3), labeling(2), labeling(1)]))).toEqual([2, 3]);
    expect(ids(newestTwo([labeling(4), llm(3), labeling(2)]))).toEqual([3, 4]);
    expect(ids(newestTwo([labeling(4), llm(3), labeling(2), llm(1)]))).toEqual([1, 3]);
    expect(ids(newestTwo([some, labeling(1)]))).toEqual([1, 9]);
    expect(newestTwo([labeling(1)])).toBeNull();
  });

  it("are named by source, model, time and, where they are few, features", () => {
    const some = labeling(9, {
      source: "llm",
      method: "a-model",
      parameters: { features: [3, 4] },
    });

    expect(labelingName(some)).toMatch(/^9: LLM, a-model, .*2026.*, 2 features$/);
    expect(labelingName(labeling(1))).toMatch(/^1: keywords, keywords-2, .*2026/);
  });
});

it("features that ended otherwise are told with both ends", () => {
  const drift = { outcomes: { "ok, ok": 30, "ok, failed": 2, "ineligible, ok": 1 } };

  expect(otherEnds(drift as unknown as Drift)).toEqual([
    "2 ok, then failed",
    "1 ineligible, then ok",
  ]);
});
