/** Labelings of a layer that can be compared, and their comparison in words. */
import type { Coverage, Drift, Labeling } from "./client";
import { ORIGINS } from "./flags";
import { count, moment, plural } from "./numbers";

/** Those that are over, newest first: the others have said nothing yet. */
export function comparable(layer: Coverage): Labeling[] {
  return layer.labelings.filter((labeling) => labeling.finished_at !== null);
}

/** The numbers of the features that a labeling was confined to; null: to none. */
function named(labeling: Labeling): number[] | null {
  const features: unknown = labeling.parameters["features"];
  return Array.isArray(features) ? (features as number[]) : null;
}

/** The two that say most, the earlier first: of the whole layer, and by models where two are. */
export function newestTwo(labelings: Labeling[]): [Labeling, Labeling] | null {
  const whole = labelings.filter((labeling) => named(labeling) === null);
  const byModels = whole.filter((labeling) => labeling.source === "llm");
  const sets = [byModels, whole, labelings];
  const [second, first] = sets.find((set) => set.length > 1) ?? [];
  return first && second ? [first, second] : null;
}

/** A labeling in a list to choose from. */
export function labelingName(labeling: Labeling): string {
  const features = named(labeling);
  const parts = [
    ORIGINS[labeling.source].word,
    labeling.method,
    moment(labeling.created_at),
    features ? plural(features.length, "feature") : null,
  ];
  return `${labeling.id}: ${parts.filter((part) => part !== null).join(", ")}`;
}

/** How features ended that only one of the two has labelled, or neither: `12 ok, then failed`. */
export function otherEnds(drift: Drift): string[] {
  return Object.entries(drift.outcomes)
    .map(([pair, features]) => ({ pair: pair.split(", "), features }))
    .filter(({ pair }) => pair.some((status) => status !== "ok"))
    .map(({ pair: [before, after], features }) => `${count(features)} ${before}, then ${after}`);
}
