import { render } from "svelte/server";
import { expect, test } from "vitest";
import type { Alike, Label } from "$lib/client";
import AlikeList from "./AlikeList.svelte";

const label = (text: string) => ({ text }) as Label;

function alike(index: number, direction: number | null): Alike {
  return {
    id: `m/2-res-w1k-l0_8/${index}`,
    layer: 2,
    set_name: "res-w1k-l0_8",
    index,
    cosine: 0.967,
    label: label(`river names ${index}`),
    own: label("names of rivers"),
    direction,
  };
}

const drawn = (items: Alike[], total: number) =>
  render(AlikeList, { props: { items, total } }).body;

test("a feature is linked by its label, with how near label and direction are", () => {
  const body = drawn([alike(7, 0.83)], 1);

  expect(body).toContain('href="/features/m/2-res-w1k-l0_8/7"');
  expect(body).toContain("river names 7");
  expect(body).toContain("Like “names of rivers”");
  expect(body).toContain("0.97");
  expect(body).toContain("among the nearest directions: 0.83");
  expect(body).not.toContain("more");
});

test("of a direction that is not near nothing is said, and those left out are counted", () => {
  const body = drawn([alike(7, null), alike(8, null)], 1_202);

  expect(body).not.toContain("direction");
  expect(body).toContain("and 1,200 more");
});
