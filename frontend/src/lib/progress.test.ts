import { describe, expect, it } from "vitest";
import type { Job, JobState, Stage } from "./client";
import {
  bars,
  byState,
  currentStage,
  isReading,
  isUntouched,
  layerWords,
  reached,
  speed,
  stateAt,
  stateWord,
  tokens,
  whatNext,
  worked,
} from "./progress";

function stage(number: number, title: string, states: Stage["states"]): Stage {
  const steps = Object.values(states).reduce((sum, amount) => sum + (amount ?? 0), 0);
  return { stage: number, title, kinds: [], steps, states, progress: 0 };
}

function job(state: JobState, stages: Stage[] = []): Job {
  return { state, stages, tokens_done: null, tokens_total: null } as unknown as Job;
}

const SHARDS = [
  { state: "done", count: 7 },
  { state: "running", count: 2 },
  { state: "queued", count: 4 },
] satisfies Job["shards"];

describe("the grid of shards", () => {
  it("cuts equal neighbours at the ends of rows", () => {
    expect(bars(SHARDS, 5)).toEqual([
      { state: "done", row: 0, column: 0, length: 5 },
      { state: "done", row: 1, column: 0, length: 2 },
      { state: "running", row: 1, column: 2, length: 2 },
      { state: "queued", row: 1, column: 4, length: 1 },
      { state: "queued", row: 2, column: 0, length: 3 },
    ]);
  });

  it("draws ten thousand shards with few bars", () => {
    expect(bars([{ state: "done", count: 10_000 }], 180).length).toBe(56);
  });

  it("knows the state at each place and none beyond the last", () => {
    expect([0, 6, 7, 8, 9, 12, 13].map((place) => stateAt(SHARDS, place))).toEqual([
      "done",
      "done",
      "running",
      "running",
      "queued",
      "queued",
      null,
    ]);
  });

  it("sums by state", () => {
    expect(byState([...SHARDS, { state: "done", count: 1 }])).toEqual([
      ["done", 8],
      ["running", 2],
      ["queued", 4],
    ]);
  });
});

describe("a job", () => {
  const stages = [
    stage(0, "Cut the corpus", { done: 1 }),
    stage(2, "Collect the shards", { done: 2, running: 1 }),
    stage(3, "Merge the layers", { queued: 2 }),
  ];

  it("is at the first stage that is not done, and says which comes next", () => {
    expect(currentStage(job("running", stages))?.title).toBe("Collect the shards");
    expect(whatNext(job("running", stages))).toBe("Next: merge the layers.");
    expect(whatNext(job("running", stages.slice(0, 2)))).toBe("This is the last stage.");
    expect(whatNext(job("done", stages))).toBeNull();
  });

  it("that is over says the stage it ended in instead of a share of all stages", () => {
    expect(reached({ ...job("running", stages), progress: 0.339 })).toBe("33 %");
    expect(reached({ ...job("failed", stages), progress: 0.339 })).toBe(
      "Ended in stage 2 of 3, collect the shards",
    );
    expect(reached({ ...job("done", stages.slice(0, 1)), progress: 1 })).toBe("100 %");
  });

  it("shows tokens/s while tokens are read and as the average afterwards", () => {
    const reading = { ...stage(2, "Collect the shards", { running: 1 }), kinds: ["shard.collect"] };
    const merging = { ...stage(3, "Merge the layers", { running: 1 }), kinds: ["sae.merge"] };
    const known = { tokens_per_s: 5210 };
    expect(isReading(job("running", [reading, merging]))).toBe(true);
    expect(speed({ ...job("running", [reading, merging]), ...known })).toBe("5,210 tokens/s");
    expect(speed({ ...job("running", [merging]), ...known })).toBeNull();
    expect(speed({ ...job("done", []), ...known })).toBe("5,210 tokens/s on average");
  });

  it("counts only the time in which somebody worked at it", () => {
    const times = { worked_s: 100, working_since: null };
    const now = Date.parse("2026-01-01T10:00:00Z");
    expect(worked({ ...job("failed"), ...times }, now)).toBe("1 min 40 s");
    expect(
      worked({ ...job("running"), worked_s: 100, working_since: "2026-01-01T09:59:40Z" }, now),
    ).toBe("2 min 0 s");
    expect(worked({ ...job("queued"), worked_s: 0, working_since: null }, now)).toBeNull();
  });

  it("that is over has not touched the stages after the one it ended in", () => {
    const touched = (state: JobState) =>
      stages.map((part) => !isUntouched(part, job(state, stages)));
    expect(touched("cancelled")).toEqual([true, true, false]);
    expect(touched("running")).toEqual([true, true, true]);
  });

  it("has no queued steps once it is over", () => {
    expect(stateWord("queued", "failed")).toBe("not started");
    expect(stateWord("queued", "running")).toBe("queued");
    expect(stateWord("done", "cancelled")).toBe("done");
  });

  it("says tokens of how many while it is not done", () => {
    expect(tokens(job("running"))).toBeNull();
    expect(tokens({ ...job("running"), tokens_done: 1200, tokens_total: 5000 })).toBe(
      "1,200 of 5,000",
    );
    expect(tokens({ ...job("done"), tokens_done: 5000, tokens_total: 5000 })).toBe("5,000");
  });
});

it("layers that follow each other are said as a range", () => {
  expect([[1], [2, 1], [20, 21, 22, 23, 30]].map(layerWords)).toEqual(["1", "1, 2", "20–23, 30"]);
});
