import { describe, expect, it } from "vitest";
import { languageCode, languageName } from "./languages";

describe("a language", () => {
  it("has a code whether the corpus says its code or its name", () => {
    expect(["zh", "Chinese", "japanese", "pt-BR"].map(languageCode)).toEqual([
      "zh",
      "zh",
      "ja",
      "pt-BR",
    ]);
  });

  it("has none when nobody knows it", () => {
    expect(languageCode("Klingon, mostly")).toBeUndefined();
  });

  it("is called by its English name", () => {
    expect(["zh", "German", "Klingon, mostly"].map(languageName)).toEqual([
      "Chinese",
      "German",
      "Klingon, mostly",
    ]);
  });
});
