/** What somebody is about to scan: a registered corpus, texts or records. */
import type { ScanRequest } from "./scans";
import { cutTexts, likelyFields, readRecords, textFields, type Cut } from "./texts";

export type Kind = "corpus" | "texts" | "records";

export interface Dropped {
  name: string;
  text: string;
}

const RECORDS = /\.(jsonl|ndjson|json)$/i;

export class ScanDraft {
  kind = $state<Kind>("texts");
  corpus = $state("");
  text = $state("");
  cut = $state<Cut>("blank");
  /** Files that were dropped; they stand in for what is typed. */
  files = $state.raw<Dropped[]>([]);
  /** Chosen of the records' fields; null: those to begin with. */
  chosen = $state.raw<string[] | null>(null);

  #whole = $derived(
    this.files.length > 0 ? this.files.map((file) => file.text).join("\n") : this.text,
  );
  records = $derived(this.kind === "records" ? readRecords(this.#whole) : null);
  texts = $derived.by(() => {
    if (this.kind !== "texts") return [];
    if (this.files.length === 0) return cutTexts(this.text, this.cut);
    return this.files.flatMap((file) => cutTexts(file.text, this.cut));
  });
  fields = $derived(textFields(this.records?.rows ?? []));
  wanted = $derived(this.chosen ?? likelyFields(this.fields));
  isReady = $derived.by(() => {
    if (this.kind === "corpus") return this.corpus !== "";
    if (this.kind === "texts") return this.texts.length > 0;
    const { rows, problem } = this.records ?? { rows: [], problem: null };
    return rows.length > 0 && problem === null && this.wanted.length > 0;
  });

  choose(field: string, on: boolean): void {
    const rest = this.wanted.filter((name) => name !== field);
    this.chosen = on ? [...rest, field] : rest;
  }

  async take(files: Iterable<File>): Promise<void> {
    const read = await Promise.all(
      [...files].map(async (file) => ({ name: file.name, text: await file.text() })),
    );
    if (read.length === 0) return;
    this.kind = read.every((file) => RECORDS.test(file.name)) ? "records" : "texts";
    this.chosen = null;
    // Several files are most likely a text each.
    if (read.length > 1) this.cut = "whole";
    this.files = read;
  }

  drop(): void {
    this.files = [];
    this.chosen = null;
  }

  /** The part of a request that says what is scanned. */
  asked(): Omit<ScanRequest, "release"> {
    if (this.kind === "corpus") return { corpus: this.corpus };
    const name = this.files.map((file) => file.name).join(", ");
    const named = name ? { name: name.slice(0, 150) } : { name: "pasted texts" };
    if (this.kind === "texts") return { ...named, texts: this.texts };
    return { ...named, records: this.records?.rows ?? [], fields: this.wanted };
  }
}
