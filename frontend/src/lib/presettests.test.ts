import { describe, expect, test } from "vitest";
import {
  nameOfTest,
  readTests,
  scriptOf,
  sentenceOf,
  testLacks,
  withPrompt,
  type PresetTest,
} from "./presettests";

const TEST: PresetTest = {
  name: "no Chinese",
  prompts: ["文件"],
  measure: "script",
  of: "Han",
  expect: "below",
  value: 0.05,
  samples: 1,
  tokens: 40,
  temperature: 0,
  seed: 0,
};

describe("a test", () => {
  test("is told in a sentence", () => {
    expect(sentenceOf(TEST)).toBe("the share of Han letters is below 0.05");
    const distinct: PresetTest = { ...TEST, measure: "distinct", of: null, expect: "falls" };
    expect(sentenceOf(distinct)).toBe("the share of different tokens falls by 0.05");
  });

  test("says what it lacks", () => {
    expect(testLacks(TEST, [])).toBeNull();
    expect(testLacks({ ...TEST, name: " " }, [])).toContain("a name");
    expect(testLacks(TEST, [TEST])).toContain("Another test");
    expect(testLacks({ ...TEST, of: " " }, [])).toContain("script");
    expect(testLacks({ ...TEST, value: NaN }, [])).toContain("number");
    expect(testLacks(TEST, Array<PresetTest>(20).fill({ ...TEST, name: "x" }))).toContain("20");
  });

  test("takes a prompt more, each once", () => {
    expect(withPrompt([TEST], TEST.name, "系统")[0]?.prompts).toEqual(["文件", "系统"]);
    expect(withPrompt([TEST], TEST.name, "文件")).toEqual([TEST]);
    expect(withPrompt([TEST], "another", "系统")).toEqual([TEST]);
  });

  test("is read from what an address holds, where it is one", () => {
    expect(readTests(JSON.parse(JSON.stringify([TEST])))).toEqual([TEST]);
    expect(readTests([null, {}, { ...TEST, measure: "x" }, { ...TEST, prompts: "x" }])).toEqual([]);
    expect(readTests("no")).toEqual([]);
  });

  test("gets a name that no other has", () => {
    expect(nameOfTest([TEST], TEST.name)).toBe("no Chinese 2");
    expect(nameOfTest([], " ")).toBe("test");
  });
});

test("most letters tell the script", () => {
  expect(scriptOf("the 文件系统")).toBe("Han");
  expect(scriptOf("the 文")).toBe("Latin");
  expect(scriptOf("")).toBe("Latin");
});
