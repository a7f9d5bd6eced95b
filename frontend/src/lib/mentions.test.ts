import { describe, expect, it } from "vitest";
import { mentions } from "./mentions";

describe("mentions", () => {
  it("marks the names of accounts and leaves the rest as it is", () => {
    const parts = mentions("Canals, @Ada? Ask @nobody or me@ada.org.", ["ada"]);

    expect(parts).toEqual([
      { text: "Canals, ", to: false },
      { text: "@Ada", to: true },
      { text: "? Ask @nobody or me@ada.org.", to: false },
    ]);
  });

  it("loses no character", () => {
    const text = "@ben. @ben-@ben 中文 @ben";

    expect(
      mentions(text, ["ben"])
        .map((part) => part.text)
        .join(""),
    ).toBe(text);
  });
});
