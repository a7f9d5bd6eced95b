/** What the flags of a feature mean, in a sentence. */

export const FLAGS: Record<string, string> = {
  dead: "It never fired on the corpus of the current run, so nothing can be said about its meaning.",
  dense: "It fires on more than a tenth of all tokens; such features seldom have one meaning.",
  token: "At least 90 % of its activation falls on one token, so it may only recognise that token.",
  position:
    "At least 90 % of its firings are at one place of the context, so it may only tell where a text starts.",
  register:
    "It fires most where the model parks attention: at first positions or sinks that the collection masks, or on almost anything with the same strength; such features seldom have a meaning.",
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

/** Why a language model that was asked has given no label; what `reason` adds, see `whyUnlabelled`. */
export const OUTCOMES = {
  abstained: "A language model read its examples and saw nothing they share.",
  refused: "A language model would not speak of its examples.",
  failed: "A language model gave no answer that could be used.",
  suspect:
    "What a language model wrote does not fit the examples it had not seen, so it is not shown as a label.",
} as const;

/** How a question to a language model ended without a label, in full. */
export function whyUnlabelled(status: string, reason: string | null): string {
  const sentence = OUTCOMES[status as keyof typeof OUTCOMES] ?? "";
  // Of the others the reason says the same in other words.
  return status === "failed" || !sentence ? `${sentence} ${reason ?? ""}`.trim() : sentence;
}
