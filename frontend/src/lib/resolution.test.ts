import { describe, expect, it } from "vitest";
import { figures, risks } from "./resolution";

const of = (split_rate: number, conflated_ari: number) => ({
  split_rate,
  conflated_ari,
  parted_rate: 1,
  n_single: 100,
  n_pairs: 200,
  coarse: true,
});

describe("sense resolution in words", () => {
  it("says both figures", () => {
    expect(figures(of(0.62, 0.238))).toBe(
      "62 % of single features split, two mixed told apart to 0.24",
    );
  });

  it("names only the risk whose target is missed", () => {
    expect(risks(of(0.62, 0.24))).toBe(
      "one meaning may be cut into several senses, and two meanings may share one sense",
    );
    expect(risks(of(0.11, 0.8))).toBe("one meaning may be cut into several senses");
    expect(risks(of(0.1, 0.79))).toBe("two meanings may share one sense");
    expect(risks(of(0.1, 0.8))).toBe("");
  });
});
