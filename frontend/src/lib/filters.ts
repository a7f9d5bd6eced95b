/** The filters of a search, as the address of the page keeps them and as the API takes them. */
import type { FacetCount, FacetName } from "./client";
import { ORIGINS } from "./flags";
import { percent } from "./numbers";

/** Filters that may have several values, by their name in the address, which is the API's too. */
const MANY = ["state", "source", "script", "author", "flag", "without_flag", "tag"] as const;
/** Filters by a range, written `low..high`. */
const RANGES = ["density", "score"] as const;

export type FilterName = (typeof MANY)[number] | (typeof RANGES)[number] | "layer" | "reviewed";
export type FilterQuery = Record<string, string | string[]>;

export interface ActiveFilter {
  name: FilterName;
  value: string;
}

export const STATES: Record<string, string> = {
  accepted: "accepted by people",
  labelled: "labelled",
  unlabelled: "no label",
  suspect: "suspect",
  abstained: "model abstained",
  refused: "model refused",
  failed: "model failed",
};

/** Writings by their ISO 15924 codes. */
export const SCRIPTS: Record<string, string> = {
  Latn: "Latin",
  Hani: "Chinese",
  Jpan: "Japanese",
  Hang: "Korean",
  Cyrl: "Cyrillic",
  Arab: "Arabic",
  Grek: "Greek",
  Hebr: "Hebrew",
  Deva: "Devanagari",
  Zyyy: "no letters",
};

/** What the panel shows, in this order; releases and layers are chosen above it. */
export const FACETS: { facet: FacetName; title: string }[] = [
  { facet: "state", title: "Label" },
  { facet: "source", title: "Label by" },
  { facet: "score", title: "Score" },
  { facet: "density", title: "Fires on" },
  { facet: "flag", title: "Flags" },
  { facet: "script", title: "Writing" },
  { facet: "author", title: "Author" },
  { facet: "tag", title: "Tags" },
  { facet: "reviewed", title: "Reviewed" },
];

export function activeFilters(params: URLSearchParams): ActiveFilter[] {
  const named = [...MANY, ...RANGES, "reviewed"] as const;
  return named.flatMap((name) =>
    [...new Set(params.getAll(name))]
      .filter((value) => value !== "" && isWellFormed(name, value))
      .map((value) => ({ name, value })),
  );
}

function isWellFormed(name: FilterName, value: string): boolean {
  if (name === "reviewed") return value === "true" || value === "false";
  return name === "density" || name === "score" ? ends(value) !== null : true;
}

/** The parameters that the API takes for these filters. */
export function filterQuery(active: ActiveFilter[]): FilterQuery {
  const query: FilterQuery = {};
  for (const { name, value } of active) {
    if (name === "density" || name === "score") {
      const [low, high] = ends(value) ?? ["", ""];
      if (low) query[`${name}_min`] = low;
      if (high) query[`${name}_max`] = high;
    } else if (name === "reviewed") query[name] = value;
    else query[name] = [...((query[name] as string[] | undefined) ?? []), value];
  }
  return query;
}

function ends(range: string): [string, string] | null {
  const [, low, high] = /^([\d.e-]*?)\.\.([\d.e-]*)$/.exec(range) ?? [];
  if (low === undefined || high === undefined || (!low && !high)) return null;
  return [low, high].every((end) => !Number.isNaN(Number(end))) ? [low, high] : null;
}

/** The address with a filter set or, where it is set, taken out. */
export function toggled(url: URL, { name, value }: ActiveFilter): string {
  const params = new URLSearchParams(url.searchParams);
  const set = params.getAll(name);
  params.delete(name);
  const isOne = !(MANY as readonly string[]).includes(name);
  const rest = set.includes(value)
    ? set.filter((one) => one !== value)
    : isOne
      ? [value]
      : [...set, value];
  for (const one of rest) params.append(name, one);
  const query = params.toString();
  return query ? `${url.pathname}?${query}` : url.pathname;
}

export function cleared(url: URL): string {
  const params = new URLSearchParams(url.searchParams);
  for (const { name } of activeFilters(params)) params.delete(name);
  const query = params.toString();
  return query ? `${url.pathname}?${query}` : url.pathname;
}

/** A value of a filter in words. */
export function filterWords(name: FilterName, value: string): string {
  if (name === "state") return STATES[value] ?? value;
  if (name === "source") return ORIGINS[value as keyof typeof ORIGINS]?.word ?? value;
  if (name === "script") return SCRIPTS[value] ?? value;
  if (name === "without_flag") return `not ${value}`;
  if (name === "reviewed") return value === "true" ? "by a person" : "by nobody";
  const range = name === "density" || name === "score" ? ends(value) : null;
  if (!range) return value;
  const [low, high] = range.map((end) => (name === "density" && end ? percent(Number(end)) : end));
  if (!low || low === "0" || low === "0 %") return `up to ${high}`;
  return !high ? `${low} or more` : `${low} to ${high}`;
}

/** The filter that a click on a value of a facet sets. */
export function filterOf(facet: FacetName, { value }: FacetCount): ActiveFilter {
  return { name: facet as FilterName, value };
}
