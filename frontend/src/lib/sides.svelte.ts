/** What is written in the form of two sides to be compared, before it is asked. */
import type { Pair } from "./compare";

/** One text, or several; each is kept while the other is written. */
export class SideDraft {
  several = $state(false);
  texts = $state.raw<string[]>([""]);

  fill(texts: string[]): void {
    this.texts = texts.length > 0 ? texts : [""];
    this.several = this.texts.length > 1;
  }

  set(place: number, text: string): void {
    this.texts = this.texts.map((one, index) => (index === place ? text : one));
  }

  /** Put texts where one stood. */
  replace(place: number, texts: string[]): void {
    this.texts = [...this.texts.slice(0, place), ...texts, ...this.texts.slice(place + 1)];
    if (this.texts.length === 0) this.texts = [""];
  }

  /** Rows that were left empty are none. */
  get asked(): string[] {
    if (!this.several) return this.texts.slice(0, 1);
    const written = this.texts.filter((text) => text !== "");
    return written.length > 0 ? written : [""];
  }
}

export class PairDraft {
  release = $state("");
  /** Null: all of the release. */
  layers = $state.raw<number[] | null>(null);
  readonly a = new SideDraft();
  readonly b = new SideDraft();

  fill({ release, layers, a, b }: Pair): void {
    if (release) this.release = release;
    this.layers = layers;
    this.a.fill(a);
    this.b.fill(b);
  }

  get pair(): Pair {
    const { release, layers } = this;
    return { release, layers, a: this.a.asked, b: this.b.asked };
  }
}
