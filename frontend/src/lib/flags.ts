/** What the flags of a feature mean, in a sentence. */

export const FLAGS: Record<string, string> = {
  dead: "It never fired on the corpus of the current run, so nothing can be said about its meaning.",
  dense: "It fires on a large share of all tokens; such features seldom have one meaning.",
  rare: "It fired on very few tokens, so its statistics and its label rest on little evidence.",
  token: "Nearly all of its activation falls on one token, so it may only recognise that token.",
};

export function explainFlag(flag: string): string {
  return FLAGS[flag] ?? "A property that the collection measured.";
}

/** Where a label's wording comes from: the short word on the chip and the sentence behind it. */
export const ORIGINS = {
  keywords: {
    word: "keywords",
    sentence: "Made of the words that set its examples apart; no language model and no person.",
  },
  llm: { word: "LLM", sentence: "Written by a language model that read its examples." },
  person: { word: "person", sentence: "Written by a person." },
  import: { word: "imported", sentence: "Taken over from another dictionary." },
} as const;

/** The names of languages as pages say them; unknown codes stay codes. */
export function languageName(code: string): string {
  try {
    return new Intl.DisplayNames("en", { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}
