/** Which names of regions are shown: the larger region's where two would overlap. */
import type { Size } from "./camera";

export interface Name {
  /** Position among the regions. */
  region: number;
  text: string;
  left: number;
  top: number;
}

const LINE = 18;
const GAP = 4;

/** About how wide a name is, in pixels: characters of Chinese, Japanese and Korean are wide. */
export function widthOf(text: string): number {
  let width = 0;
  for (const char of text) width += (char.codePointAt(0) ?? 0) >= 0x2e80 ? 13 : 7;
  return width;
}

/** Choose from names in order of importance, each drawn around its (left, top); `first` goes ahead. */
export function chooseNames(names: readonly Name[], size: Size, first: number | null): Name[] {
  const order = [...names].sort(
    (a, b) => Number(b.region === first) - Number(a.region === first) || a.region - b.region,
  );
  const kept: (Name & { half: number })[] = [];
  for (const name of order) {
    const half = widthOf(name.text) / 2 + GAP;
    const isInside =
      name.left > 0 && name.left < size.width && name.top > 0 && name.top < size.height;
    // At the border a name moves inwards, so that all of it can be read.
    const left = Math.max(half, Math.min(size.width - half, name.left));
    const isFree = kept.every(
      (other) =>
        Math.abs(other.left - left) >= other.half + half || Math.abs(other.top - name.top) >= LINE,
    );
    if (isInside && isFree) kept.push({ ...name, left, half });
  }
  return kept.map(({ half: _, ...name }) => name);
}
