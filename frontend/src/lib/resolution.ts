/** How far to trust the senses of a layer, in words. */
import type { Resolution } from "./client";
import { count, percent } from "./numbers";

/** What is wanted; the API says of each layer whether it is missed. */
export const WANTED = { split: 0.1, apart: 0.8 };

/** Both figures: `62 % of single features split, two mixed told apart to 0.24`. */
export function figures(resolution: Resolution): string {
  const { split_rate: split, conflated_ari: apart } = resolution;
  return `${percent(split)} of single features split, two mixed told apart to ${apart.toFixed(2)}`;
}

/** On how many trials the figures rest. */
export function trials(resolution: Resolution): string {
  return `Tried on ${count(resolution.n_single)} single features and ${count(resolution.n_pairs)} mixtures of two.`;
}

/** What a reader has to reckon with, where a figure misses what is wanted; else nothing. */
export function risks({ split_rate, conflated_ari }: Resolution): string {
  const parts = [
    split_rate > WANTED.split ? "one meaning may be cut into several senses" : null,
    conflated_ari < WANTED.apart ? "two meanings may share one sense" : null,
  ];
  return parts.filter((part) => part !== null).join(", and ");
}
