import { expect, it } from "vitest";
import { linesOf, textsOfFile } from "./textfile";

it("takes each line that says something as a text", () => {
  expect(linesOf("one\r\n\n  \n two\n")).toEqual(["one", " two"]);
});

it("reads lines of JSON as strings or objects with a text", () => {
  const content = '"a\\nb"\n{"text": "c", "id": 1}\n';
  expect(textsOfFile("x.jsonl", content)).toEqual(["a\nb", "c"]);
  expect(textsOfFile("x.txt", '"a"\n')).toEqual(['"a"']);
});

it.each([
  ["", "holds no text"],
  ['{"words": "a"}', "Line 1 of x.jsonl has no text"],
  ['"a"\nb', "Line 2 of x.jsonl is no JSON"],
])("says what is wrong with %j", (content, words) => {
  expect(() => textsOfFile("x.jsonl", content)).toThrow(words);
});
