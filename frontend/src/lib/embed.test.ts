import { expect, it } from "vitest";
import { embedCode } from "./embed";

it("writes HTML that neither an id nor a label can end", () => {
  const code = embedCode("https://scopebook.example.org", 'a/b "c"/2-res/17', '<b> & "rivers"');

  expect(code).toContain('src="https://scopebook.example.org/embed/a/b%20%22c%22/2-res/17" ');
  expect(code).toContain('title="&lt;b> &amp; &quot;rivers&quot;" ');
});
