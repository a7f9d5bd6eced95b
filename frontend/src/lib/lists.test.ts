import { describe, expect, it } from "vitest";
import { placeAfter, searchAddress, searchIn } from "./lists";

describe("a search that is kept", () => {
  it("comes back as it was", () => {
    const params = new URLSearchParams("q=legal+text&source=llm&source=person&score=0.8..");

    const kept = searchIn(params);

    expect(kept).toEqual({ q: "legal text", source: ["llm", "person"], score: "0.8.." });
    expect(searchAddress(kept ?? {})).toBe(`/?${params}`);
  });

  it("needs a query", () => {
    expect(searchIn(new URLSearchParams("q=+&layer=2"))).toBeNull();
  });
});

describe("an item that is moved", () => {
  const ids = ["a", "b", "c"];

  it("goes behind its new neighbour", () => {
    expect(placeAfter(ids, "a", 1)).toBe("b");
    expect(placeAfter(ids, "c", -1)).toBe("a");
    expect(placeAfter(ids, "b", -1)).toBeNull();
  });

  it("stays where there is no further place", () => {
    expect(placeAfter(ids, "a", -1)).toBeUndefined();
    expect(placeAfter(ids, "c", 1)).toBeUndefined();
    expect(placeAfter(ids, "x", 1)).toBeUndefined();
  });
});
