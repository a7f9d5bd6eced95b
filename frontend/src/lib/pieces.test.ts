import { describe, expect, it } from "vitest";
import { pieces, spoken } from "./pieces";

function drawn(text: string, marked = false): string[] {
  return pieces(text, marked).map((piece) => `${piece.kind}:${piece.text}`);
}

describe("token text", () => {
  it("keeps words and the single blanks between them plain", () => {
    expect(drawn("unto")).toEqual(["text:unto"]);
    expect(drawn(" the LORD")).toEqual(["text: the LORD"]);
    expect(drawn(" ")).toEqual(["text: "]);
  });

  it("marks a leading blank where the token itself is looked at", () => {
    expect(drawn(" die", true)).toEqual(["space: ", "text:die"]);
  });

  it("marks indentation and tokens of nothing but blanks", () => {
    expect(drawn("    def")).toEqual(["space:    ", "text:def"]);
    expect(drawn(" ", true)).toEqual(["space: "]);
    expect(drawn("\u3000")).toEqual(["space:\u3000"]);
  });

  it("gives tabs and line ends of any system a mark each", () => {
    expect(drawn("\t\tx")).toEqual(["tab:\t", "tab:\t", "text:x"]);
    expect(drawn("a\r\nb\n\n")).toEqual([
      "text:a",
      "newline:\n",
      "text:b",
      "newline:\n",
      "newline:\n",
    ]);
  });

  it("names characters without a shape instead of showing a broken one", () => {
    expect(drawn("a\u200bb\u0007\ufffd")).toEqual([
      "text:a",
      "code:U+200B",
      "text:b",
      "code:U+0007",
      "code:U+FFFD",
    ]);
    expect(drawn("\u202eevil")).toEqual(["code:U+202E", "text:evil"]);
  });

  it("keeps joined emoji, accents and other scripts whole", () => {
    for (const text of ["👨‍👩‍👧‍👦", "🇩🇪👍🏽", "e\u0301te\u0301", "系统会", "اللغة", "한국어", "हिन्दी"]) {
      expect(drawn(text)).toEqual([`text:${text}`]);
    }
  });

  it("gives a lone accent something to stand on", () => {
    expect(drawn("\u0301")).toEqual(["text:\u25cc\u0301"]);
  });

  it("is nothing when it is empty", () => {
    expect(drawn("")).toEqual([]);
    expect(spoken("")).toBe("nothing");
  });

  it("is said in one line", () => {
    expect(spoken(" die\n\t  x")).toBe("·die↵→··x");
  });
});
