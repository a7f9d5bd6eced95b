import { describe, expect, it } from "vitest";
import { numberParam, withParams } from "./history";

describe("the address", () => {
  it("takes changes and drops what became empty", () => {
    const url = new URL("http://localhost/?q=German&layer=2");

    expect(withParams(url, { layer: null, release: "R" })).toBe("/?q=German&release=R");
    expect(withParams(url, { q: "", layer: null })).toBe("/");
  });

  it("carries any query there and back", () => {
    const query = "中文 & “quotes” #1 + 100 % 👍";

    const back = new URL(
      withParams(new URL("http://localhost/"), { q: query }),
      "http://localhost",
    );

    expect(back.searchParams.get("q")).toBe(query);
  });

  it("gives numbers only where they are some", () => {
    const params = new URLSearchParams("layer=2&flag=x&empty=&minus=-1");

    expect(
      ["layer", "flag", "empty", "minus", "none"].map((name) => numberParam(params, name)),
    ).toEqual([2, null, null, null, null]);
  });
});
