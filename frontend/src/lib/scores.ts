/** What scorers measure, and how a label's scores are put in words. */
import type { Score } from "./client";

interface Scorer {
  word: string;
  /** What is done, and what the figure is. */
  sentence: string;
}

/** In the order in which they are shown: what says most comes first. */
export const SCORERS: Record<string, Scorer> = {
  detection: {
    word: "detection",
    sentence:
      "A judge who knows only the label says of unseen texts whether the feature fires in them: share of right answers, both kinds weighing the same.",
  },
  fuzzing: {
    word: "fuzzing",
    sentence:
      "A judge who knows only the label says of marked tokens whether the feature fires on them: share of right answers.",
  },
  union: {
    word: "union",
    sentence:
      "Detection by the labels of all senses together: a text fits if any of them fits. Its null is as many labels of other features.",
  },
  intruder: {
    word: "intruder",
    sentence:
      "A judge who sees no label picks the stranger among the sense’s examples: whether they belong together at all.",
  },
  embedding: {
    word: "embedding",
    sentence:
      "How well the label’s vector ranks unseen texts that fire the feature above others (average precision). It finds labels that are plainly wrong.",
  },
  support: {
    word: "support",
    sentence:
      "The chance that an unseen example of the feature is nearer to the label than one of other features; below 0.60 a label is not shown.",
  },
};

export function scorerWord(scorer: string): string {
  return SCORERS[scorer]?.word ?? scorer;
}

export function explainScorer(scorer: string): string {
  return SCORERS[scorer]?.sentence ?? "A measure that this page does not know.";
}

/** The newest score of each scorer for one label; `scores` are newest first. */
export function newestOf(scores: Score[], labelId: number): Score[] {
  const own = scores.filter((score) => score.label_id === labelId);
  const newest = own.filter(
    (score, place) => own.findIndex((other) => other.scorer === score.scorer) === place,
  );
  return newest.sort((a, b) => rank(a.scorer) - rank(b.scorer) || (a.scorer < b.scorer ? -1 : 1));
}

function rank(scorer: string): number {
  const place = Object.keys(SCORERS).indexOf(scorer);
  return place < 0 ? Number.MAX_SAFE_INTEGER : place;
}

/** Two digits, so that 0.997 does not look perfect. */
export function figure(value: number): string {
  const cut = value < 1 ? Math.min(value, 0.99) : value;
  return cut.toFixed(2);
}

/** Whether there were enough unseen examples to say anything. */
export function isTelling(score: Score): boolean {
  return score.details["checked"] !== false;
}

/** A score in a sentence: the figure, its interval, its null, and on what it rests. */
export function spokenScore(score: Score): string {
  const negatives = score.n_neg_random + score.n_neg_hard;
  const parts = [
    `${scorerWord(score.scorer)} ${figure(score.value)}`,
    score.ci_low !== null && score.ci_high !== null
      ? `95 % interval ${figure(score.ci_low)} to ${figure(score.ci_high)}`
      : null,
    score.null_value === null ? null : `by chance ${figure(score.null_value)}`,
    `${score.n_pos} windows that fire it and ${negatives} that do not`,
    score.n_failed ? `${score.n_failed} answers unreadable, counted as wrong` : null,
    `judged by ${score.judge}`,
  ];
  return `${parts.filter((part) => part !== null).join("; ")}.`;
}

/** What a figure has to be read with: its interval, and what chance gives. */
export function shortScore(score: Score): string {
  const interval =
    score.ci_low !== null && score.ci_high !== null
      ? `${figure(score.ci_low)} to ${figure(score.ci_high)}`
      : "no interval";
  const chance =
    score.null_value === null ? "chance unknown" : `chance ${figure(score.null_value)}`;
  return `${interval}, ${chance}`;
}

/** How well a sense stands apart from the others, in plain words. */
export function apart(silhouette: number): string {
  if (silhouette >= 0.25) return "stands well apart from the other senses";
  if (silhouette >= 0.1) return "stands apart from the other senses";
  if (silhouette >= 0) return "lies close to another sense";
  return "runs into another sense";
}

/** On what a feature fires. */
export const KINDS = {
  token: "Fires on a few tokens, whatever the text is about.",
  position: "Fires at one place of a text, whatever stands there.",
  context: "Fires by what the text around is about.",
} as const;
