import { describe, expect, it } from "vitest";
import { encodeId, featurePath, parseId, shortName } from "./ids";

describe("feature ids", () => {
  it("come apart into model, source and index", () => {
    const parts = parseId("Scopebook-Demo-4M-Base/2-res-w1k-l0_8/917");

    expect(parts).toEqual({
      model: "Scopebook-Demo-4M-Base",
      source: "2-res-w1k-l0_8",
      layer: 2,
      setName: "res-w1k-l0_8",
      index: 917,
    });
  });

  it("leave a model its slashes", () => {
    const parts = parseId("Qwen/Qwen3.5-2B-Base/12-res-w32k-l0_50/31999");

    expect(parts?.model).toBe("Qwen/Qwen3.5-2B-Base");
    expect(parts?.layer).toBe(12);
  });

  it.each(["", "917", "model/917", "model/res-w1k/917", "model/2-res/x", "/2-res/1"])(
    "are not found in %j",
    (text) => {
      expect(parseId(text)).toBeNull();
    },
  );

  it("keep their slashes in an address and encode the rest", () => {
    expect(encodeId("a b/c#d/2-r?s/1")).toBe("a%20b/c%23d/2-r%3Fs/1");
    expect(featurePath("Qwen/M/2-res/1")).toBe("/features/Qwen/M/2-res/1");
  });

  it("have a short name for people", () => {
    expect(shortName({ layer: 2, index: 917 })).toBe("L2 · 917");
  });
});
