import { describe, expect, it } from "vitest";
import { activeFilters, cleared, filterQuery, filterWords, toggled } from "./filters";

const at = (search: string) => new URL(`http://here/?${search}`);
const active = (search: string) => activeFilters(at(search).searchParams);

describe("filters in the address", () => {
  it("become the API's parameters", () => {
    const filters = active(
      "q=x&source=llm&source=person&tag=code&density=1e-5..0.0001&score=0.8..",
    );

    expect(filterQuery(filters)).toEqual({
      source: ["llm", "person"],
      tag: ["code"],
      density_min: "1e-5",
      density_max: "0.0001",
      score_min: "0.8",
    });
  });

  it("are passed over where they say nothing", () => {
    expect(active("density=..&score=a..b&reviewed=perhaps&state=")).toEqual([]);
  });

  it("are set and taken out by the same click", () => {
    const llm = { name: "source", value: "llm" } as const;

    expect(toggled(at("q=x"), llm)).toBe("/?q=x&source=llm");
    expect(toggled(at("q=x&source=llm&source=person"), llm)).toBe("/?q=x&source=person");
  });

  it("have one range at a time", () => {
    const high = { name: "score", value: "0.9..1" } as const;

    expect(toggled(at("score=0..0.5"), high)).toBe("/?score=0.9..1");
    expect(toggled(at("score=0.9..1"), high)).toBe("/");
  });

  it("are cleared together, and nothing else is", () => {
    expect(cleared(at("q=x&layer=2&flag=dense&reviewed=true"))).toBe("/?q=x&layer=2");
  });

  it("are told in words", () => {
    expect(filterWords("density", "1e-5..0.0001")).toBe("0.001 % to 0.01 %");
    expect(filterWords("score", "0..0.5")).toBe("up to 0.5");
    expect(filterWords("score", "0.9..")).toBe("0.9 or more");
    expect(filterWords("script", "Hani")).toBe("Chinese");
    expect(filterWords("without_flag", "dense")).toBe("not dense");
    expect(filterWords("author", "ada")).toBe("ada");
    expect(filterWords("state", "accepted")).toBe("accepted by people");
  });
});
