import { expect, test } from "vitest";
import { cutTexts, likelyFields, readRecords, textFields } from "./texts";

test("pasted text is cut at blank lines, at lines, or not at all", () => {
  const pasted = "One\r\nmore\r\n \r\n\r\nTwo\n";
  expect(cutTexts(pasted, "blank")).toEqual(["One\nmore", "Two"]);
  expect(cutTexts(pasted, "lines")).toEqual(["One", "more", "Two"]);
  expect(cutTexts(pasted, "whole")).toEqual(["One\nmore\n \n\nTwo"]);
  expect(cutTexts(" \n ", "whole")).toEqual([]);
});

test("JSON lines are read, and a line that is none is named", () => {
  expect(readRecords('{"a": 1}\n\n{"a": 2}').rows).toEqual([{ a: 1 }, { a: 2 }]);
  expect(readRecords('[{"a": 1}, {"a": 2}]').rows).toHaveLength(2);
  expect(readRecords('{"a": 1}\n[1]').problem).toMatch(/^Line 2 is no JSON object: “\[1\]”;/);
  expect(readRecords("").problem).toBeNull();
});

test("fields that hold text are found, those of messages by role", () => {
  const messages = [
    { role: "user", content: "Hi" },
    { role: "assistant", content: "Hello" },
  ];
  const rows = [
    { id: 7, prompt: "a", messages },
    { prompt: "b", response: "c", tags: ["x"] },
  ];
  const fields = textFields(rows);
  expect(fields[0]).toBe("prompt");
  expect(new Set(fields)).toEqual(
    new Set(["prompt", "messages", "messages.user", "messages.assistant", "response"]),
  );
});

test("both sides of a dialogue are compared unless there is one text", () => {
  expect(likelyFields(["id", "response", "prompt"])).toEqual(["prompt", "response"]);
  expect(likelyFields(["title", "text"])).toEqual(["text"]);
  expect(likelyFields(["body", "url"])).toEqual(["body"]);
  expect(likelyFields([])).toEqual(["text"]);
});
