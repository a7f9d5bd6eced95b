import { describe, expect, it } from "vitest";
import { around, joinGraphemes, level, LEVELS, type Token } from "./heat";
import styles from "../styles/tokens.css?raw";

function tokens(...parts: [string, number][]): Token[] {
  return parts.map(([text, activation]) => ({ text, activation }));
}

describe("heat", () => {
  it("rises in eight equal steps and is none only for what does not fire", () => {
    expect([0, 0.001, 1, 1.01, 7.99, 8, 80].map((value) => level(value, 8))).toEqual([
      0, 1, 1, 2, 8, 8, 8,
    ]);
    expect(level(3, 0)).toBe(0);
  });

  it("of tokens that split one character is the largest of theirs", () => {
    const joined = joinGraphemes({
      tokens: tokens(["caf", 0], ["e", 2], ["\u0301", 5], [" au", 1]),
      peak: 2,
    });

    expect(joined.tokens).toEqual(tokens(["caf", 0], ["e\u0301", 5], [" au", 1]));
    expect(joined.peak).toBe(1);
  });

  it("joins the parts of an emoji, of a flag and of a line end", () => {
    const joined = joinGraphemes({
      tokens: tokens(
        ["👩", 1],
        ["\u200d", 3],
        ["💻", 0],
        ["🇩", 0],
        ["🇪", 4],
        ["\r", 0],
        ["\nx", 2],
      ),
      peak: 4,
    });

    expect(joined.tokens).toEqual(tokens(["👩\u200d💻", 3], ["🇩🇪", 4], ["\r\nx", 2]));
    expect(joined.peak).toBe(1);
  });

  it("leaves ASCII and Chinese tokens as they are", () => {
    for (const parts of [tokens(["def", 1], [" self", 0]), tokens(["系统", 1], ["会", 0])]) {
      expect(joinGraphemes({ tokens: parts, peak: 1 })).toEqual({ tokens: parts, peak: 1 });
    }
  });

  it("shows the tokens around the peak that fit, wide characters counted double", () => {
    const context = {
      tokens: tokens(["系统", 0], ["会", 0], ["ab", 9], ["cd", 0], ["e", 0]),
      peak: 2,
    };

    expect(around(context, 2, 2)).toEqual({ start: 1, end: 4 });
    expect(around(context, 1, 3)).toEqual({ start: 2, end: 5 });
    expect(around(context, 99, 99)).toEqual({ start: 0, end: 5 });
  });
});

/** The WCAG contrast of two colours. */
function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(hex: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const value = parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function colour(name: string, theme: "light" | "dark"): string {
  const found = new RegExp(`--${name}: light-dark\\((#\\w{6}), (#\\w{6})\\)`).exec(styles);
  return found?.[theme === "light" ? 1 : 2] ?? `--${name} is missing`;
}

describe.each(["light", "dark"] as const)("colours in %s mode", (theme) => {
  const steps = Array.from({ length: LEVELS }, (_, index) => `heat-${index + 1}`);

  it.each(steps)("let text on %s be read", (step) => {
    expect(contrast(colour(step, theme), colour(`${step}-ink`, theme))).toBeGreaterThanOrEqual(4.5);
  });

  it("change in lightness in one direction only", () => {
    const lightness = steps.map((step) => luminance(colour(step, theme)));
    const sorted = [...lightness].sort((a, b) => (theme === "light" ? b - a : a - b));

    expect(lightness).toEqual(sorted);
  });

  it.each([
    ["ink", "paper"],
    ["ink", "wash-2"],
    ["ink-2", "paper"],
    ["ink-2", "wash"],
    ["ink-2", "wash-2"],
    ["ink-2", "accent-wash"],
    ["accent", "paper"],
    ["accent", "accent-wash"],
    ["on-accent", "accent"],
    ["good", "paper"],
    ["bad", "bad-wash"],
    ["warn", "warn-wash"],
  ])("let %s be read on %s", (ink, ground) => {
    expect(contrast(colour(ink, theme), colour(ground, theme))).toBeGreaterThanOrEqual(4.5);
  });
});
