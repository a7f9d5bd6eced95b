/** Tests of a preset: what is measured of what the model writes, and what is expected of it. */
import type { Schemas } from "./client";

type Shape = Schemas["PresetTestShape"];
export type Measure = Shape["measure"];
export type Expectation = Shape["expect"];
export type PresetTest = Omit<Shape, "of"> & { of: string | null };

interface MeasureWords {
  word: string;
  /** What it is measured of, e.g. the script; null: nothing. */
  of: string | null;
  help: string;
  /** What to begin with. */
  expect: Expectation;
  value: number;
}

export const MEASURES: Record<Measure, MeasureWords> = {
  script: {
    word: "letters of a script",
    of: "Script",
    help: "The share of all letters that are of a script, by its Unicode name",
    expect: "above",
    value: 0.5,
  },
  text: {
    word: "texts that hold some words",
    of: "Words",
    help: "The share of texts in which they stand, whatever their capitals",
    expect: "above",
    value: 0.5,
  },
  activation: {
    word: "activation of a feature",
    of: "Feature",
    help: "Its mean over what is written, read by the unsteered model",
    expect: "rises",
    value: 1,
  },
  distinct: {
    word: "different tokens",
    of: null,
    help: "The share of written tokens that are different ones: low where a text repeats itself",
    expect: "above",
    value: 0.5,
  },
  divergence: {
    word: "divergence on other texts",
    of: null,
    help: "How far steering moves the next token on texts of the corpus, in nats",
    expect: "below",
    value: 1,
  },
};
export const EXPECTATIONS: Record<Expectation, string> = {
  above: "is above",
  below: "is below",
  rises: "rises by",
  falls: "falls by",
};
export const MOST_TESTS = 20;
export const MOST_PROMPTS = 20;

const SCRIPTS = ["Latin", "Han", "Cyrillic", "Arabic", "Hiragana", "Hangul", "Greek", "Devanagari"];

/** The script that most letters of a text are of. */
export function scriptOf(text: string): string {
  const counts = SCRIPTS.map((name) => {
    const found = text.match(new RegExp(`\\p{Script=${name}}`, "gu"));
    return { name, amount: found?.length ?? 0 };
  });
  return counts.reduce((most, one) => (one.amount > most.amount ? one : most)).name;
}

export function sentenceOf(test: PresetTest): string {
  const whose = test.of ?? "";
  const what = {
    script: `the share of ${whose} letters`,
    activation: `the mean activation of ${whose}`,
    text: `the share of texts with “${whose}”`,
    distinct: "the share of different tokens",
    divergence: "the divergence on other texts",
  }[test.measure];
  return `${what} ${EXPECTATIONS[test.expect]} ${test.value}`;
}

/** A name for a test that no other has. */
export function nameOfTest(tests: readonly PresetTest[], wished: string): string {
  const begin = wished.trim().slice(0, 190) || "test";
  let name = begin;
  for (let number = 2; tests.some((test) => test.name === name); number += 1)
    name = `${begin} ${number}`;
  return name;
}

/** Why a test cannot be added yet; null: it can. */
export function testLacks(test: PresetTest, others: readonly PresetTest[]): string | null {
  if (!test.name.trim()) return "Give the test a name.";
  if (others.some(({ name }) => name === test.name.trim())) return "Another test has this name.";
  if (MEASURES[test.measure].of !== null && !test.of?.trim())
    return `Say of what: ${MEASURES[test.measure].of?.toLowerCase() ?? ""}.`;
  if (!Number.isFinite(test.value)) return "Give the number that is expected.";
  if (others.length >= MOST_TESTS) return `A preset has at most ${MOST_TESTS} tests.`;
  return null;
}

/** A prompt more for a test; the same list where it has it, or has enough. */
export function withPrompt(
  tests: readonly PresetTest[],
  name: string,
  prompt: string,
): PresetTest[] {
  return tests.map((test) =>
    test.name !== name || test.prompts.includes(prompt) || test.prompts.length >= MOST_PROMPTS
      ? test
      : { ...test, prompts: [...test.prompts, prompt] },
  );
}

/** Tests as an address or a draft holds them; what is none is left out. */
export function readTests(given: unknown): PresetTest[] {
  if (!Array.isArray(given)) return [];
  return given.flatMap((one: Partial<Shape> | null) => {
    if (!one || !(String(one.measure) in MEASURES) || !(String(one.expect) in EXPECTATIONS))
      return [];
    const { name, prompts, measure, of, expect, value, samples, tokens, temperature, seed } = one;
    if (typeof name !== "string" || !Array.isArray(prompts) || typeof value !== "number") return [];
    return [
      {
        name,
        prompts: prompts.map(String),
        measure: measure as Measure,
        of: of ?? null,
        expect: expect as Expectation,
        value,
        samples: samples ?? 1,
        tokens: tokens ?? 40,
        temperature: temperature ?? 0,
        seed: seed ?? 0,
      },
    ];
  });
}
