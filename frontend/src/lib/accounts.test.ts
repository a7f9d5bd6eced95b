import { describe, expect, it } from "vitest";
import { atLeast, nextPage, scopesOf } from "./accounts";

describe("the page after a login", () => {
  it("is the one that was asked for", () => {
    expect(nextPage("/features?layer=1#top")).toBe("/features?layer=1#top");
  });

  it.each([null, "", "features", "https://elsewhere.example", "//elsewhere.example", "/\\else"])(
    "is never one of another site: %s",
    (given) => {
      expect(nextPage(given)).toBe("/");
    },
  );
});

describe("roles", () => {
  it("are in one line", () => {
    expect(atLeast("editor", "annotator")).toBe(true);
    expect(atLeast("annotator", "editor")).toBe(false);
  });

  it("offer no token that may do more", () => {
    expect(scopesOf("annotator")).toEqual(["read", "annotate"]);
  });
});
