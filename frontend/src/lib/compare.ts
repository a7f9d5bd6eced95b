/** Two texts, or two sets of texts, that are compared: what is asked, and how it is told. */
import { address, answer, ask, withBody, type Query, type Schemas } from "./client";
import { level } from "./heat";
import { inspectedPieces, type FeatureBrief, type InspectedPiece } from "./inspect";

export type Comparison = Schemas["ComparisonRead"];
export type ComparedSide = Schemas["SideRead"];
export type Difference = Schemas["DifferenceRead"];
export type SideName = Difference["more_in"];

export const SIDES: SideName[] = ["a", "b"];

export const MEASURES = {
  effect: { word: "effect", help: "What differs most for how much it varies comes first." },
  rate: { word: "rate", help: "By the difference in the share of tokens that fire." },
  mean: { word: "mean activation", help: "By the difference of the mean over all tokens." },
  max: { word: "largest activation", help: "By the difference of the largest activation." },
} as const;
export type Measure = keyof typeof MEASURES;

export const SHARED = {
  prefix: {
    word: "how all texts begin",
    help: "Tokens at the start that all texts have in common",
  },
  tokens: { word: "tokens of both", help: "Tokens that occur on both sides, wherever they stand" },
} as const;
export type Shared = keyof typeof SHARED;

/** What somebody wants to have compared; of each side at least one text. */
export interface Pair {
  release: string;
  /** Null: all of the release. */
  layers: number[] | null;
  a: string[];
  b: string[];
}

/** What of a comparison is shown, which takes no model. */
export interface ComparisonLook {
  sort: Measure;
  /** Null: all that were run. */
  layers: number[] | null;
  everything: boolean;
  leaveOut: Shared[];
  moreIn: SideName | null;
  limit: number;
  /** The text of each side that is shown, from 0. */
  textA: number;
  textB: number;
}

/** What browsers, proxies and people still take as an address. */
const LONGEST_IN_ADDRESS = 4000;

export function comparisonQuery(look: ComparisonLook): Query {
  return {
    sort: look.sort,
    layer: look.layers?.map(String) ?? null,
    everything: look.everything,
    leave_out: look.leaveOut,
    more_in: look.moreIn,
    limit: look.limit,
    text_a: look.textA,
    text_b: look.textB,
  };
}

/** Ask for texts to be run and compared; the answer is a stream of events. */
export function askComparison(
  { release, layers, a, b }: Pair,
  look: ComparisonLook,
  signal: AbortSignal,
): Promise<Response> {
  const [promptsA, promptsB] = [a, b].map((texts) => texts.map((text) => ({ text })));
  const init = withBody("POST", { model: release, layers, a: promptsA, b: promptsB });
  return answer(address("/api/compare", comparisonQuery(look)), {
    ...init,
    signal,
    headers: { ...init.headers, Accept: "text/event-stream" },
  });
}

/** Look at texts that were compared within the hour another way. */
export function compareAgain(
  id: number | string,
  look: ComparisonLook,
  signal: AbortSignal,
): Promise<Comparison> {
  return ask(address(`/api/compare/${id}`, comparisonQuery(look)), { signal });
}

export async function cancelComparison(id: number): Promise<void> {
  await answer(`/api/compare/${id}`, { method: "DELETE" });
}

/** The question as parameters of an address; null where its texts are too long for one. */
export function pairParams({ release, layers, a, b }: Pair): Record<string, string | null> | null {
  const sides = { a: inAddress(a), b: inAddress(b) };
  if (encodeURIComponent(sides.a + sides.b).length > LONGEST_IN_ADDRESS) return null;
  return { release, layers: layers?.join(",") ?? null, ...sides, id: null };
}

/** What stands in an address of texts that are too long for one: where their answer lies. */
export function keptParams({ release, layers }: Pair, id: number): Record<string, string | null> {
  return { release, layers: layers?.join(",") ?? null, a: null, b: null, id: String(id) };
}

/** One text stands as it is, several as JSON; so does one that would read as such JSON. */
function inAddress(texts: string[]): string {
  const [only = ""] = texts;
  return texts.length > 1 || severalOf(only) ? JSON.stringify(texts) : only;
}

function severalOf(value: string): string[] | null {
  if (!value.startsWith('["')) return null;
  try {
    const read: unknown = JSON.parse(value);
    return Array.isArray(read) && read.every((one) => typeof one === "string") ? read : null;
  } catch {
    return null;
  }
}

/** What an address asks for; what is malformed in it counts as absent. */
export function pairFrom(params: URLSearchParams): Pair {
  const [a = [""], b = [""]] = SIDES.map((side) => {
    const value = params.get(side) ?? "";
    return severalOf(value) ?? [value];
  });
  const layers = (params.get("layers") ?? "").split(",").filter((layer) => /^\d{1,4}$/.test(layer));
  return {
    release: params.get("release") ?? "",
    layers: layers.length > 0 ? layers.map(Number) : null,
    a,
    b,
  };
}

export function measureFrom(params: URLSearchParams): Measure {
  const sort = params.get("sort") ?? "";
  return sort in MEASURES ? (sort as Measure) : "effect";
}

/** Unless an address says otherwise, how all texts begin is left out. */
export function leaveOutFrom(params: URLSearchParams): Shared[] {
  const said = params.get("without");
  if (said === null) return ["prefix"];
  return said.split(",").filter((one): one is Shared => one in SHARED);
}

/** Whether there is something to run on both sides. */
export function hasBoth({ a, b }: Pair): boolean {
  return [a, b].every((texts) => texts.some((text) => text !== ""));
}

/** A difference, its feature, and on which side it is more by the measure of the order. */
export interface Row {
  feature: FeatureBrief;
  difference: Difference;
  /** Null: the same on both. */
  side: SideName | null;
}

export function rowsOf({ features, differences }: Comparison, sort: Measure): Row[] {
  return differences.flatMap((difference) => {
    const feature = features[difference.feature];
    const by = byMeasure(difference, sort);
    return feature ? [{ feature, difference, side: by > 0 ? "b" : by < 0 ? "a" : null }] : [];
  });
}

/** Above 0: more in b. What a model computes for the same text differs a little from time to time. */
function byMeasure({ effect, a, b }: Difference, sort: Measure): number {
  const by = sort === "effect" ? effect : b[sort] - a[sort];
  const least = NOISE * (sort === "effect" ? 1 : Math.max(a[sort], b[sort]));
  return Math.abs(by) > least ? by : 0;
}

const NOISE = 1e-4;

/** Labels of what is more on a side, each once. */
export function labelsMoreIn(rows: Row[], side: SideName, most: number): string[] {
  const labels = rows.flatMap((row) => (row.side === side ? (row.feature.label ?? []) : []));
  return [...new Set(labels)].slice(0, most);
}

/** How long the effects' bars are: of correlations all may be seen, of others the largest. */
export function effectScale({ differences, test }: Comparison): number {
  if (test) return 1;
  const largest = Math.max(0, ...differences.map(({ effect }) => Math.abs(effect)));
  return Math.min(largest, LARGEST_EFFECT) || 1;
}

/** Where nothing varies, a difference of means has no bounds in standard deviations. */
const LARGEST_EFFECT = 10;

export function effectText(effect: number): string {
  if (Math.abs(effect) > LARGEST_EFFECT) return `${effect < 0 ? "−" : "+"}over ${LARGEST_EFFECT}`;
  const digits = Math.abs(effect).toFixed(2);
  return digits === "0.00" ? "0" : `${effect < 0 ? "−" : "+"}${digits}`;
}

export function chanceText(value: number): string {
  return value < 0.001 ? "< 0.001" : String(Number(value.toPrecision(2)));
}

/** What was tested, and what that can tell, in sentences. */
export function testSentence({ test, a, b }: Comparison): string {
  if (!test) {
    return (
      "Two texts allow no test: only several texts on a side tell whether a difference would be " +
      "there in others too. The effect is the difference of the means in standard deviations of " +
      "a token’s activation."
    );
  }
  const name = test === "permutation" ? "an exact permutation test" : "a Mann-Whitney test";
  const told =
    `Each text counts once, by its mean activation: ${name} of their ranks. ` +
    "q is the share of false finds among all features down to this q; the effect runs from −1 " +
    "(every text of A above every one of B) to 1.";
  const least = test === "permutation" ? leastChance(a.texts, b.texts) : 0;
  const few = ` So few texts cannot tell a difference from chance: no p can be below ${chanceText(least)}.`;
  return least > 0.05 ? told + few : told;
}

/** The smallest chance that ranks of so many texts can give: two ends of all ways to split them. */
export function leastChance(a: number, b: number): number {
  let ways = 1;
  for (let place = 1; place <= a; place += 1) ways *= (b + place) / place;
  return Math.min(1, 2 / ways);
}

/** The step of the colour scale of each token of a side, by one feature; left-out tokens stay quiet. */
export function comparedHeat(side: ComparedSide, name: SideName, row: Row): number[] {
  const heat = new Array<number>(side.tokens.length).fill(0);
  paint(heat, side, name, row);
  return heat;
}

/** The same by whichever of the features that are more on this side is strongest on a token. */
export function differingHeat(side: ComparedSide, name: SideName, rows: Row[]): number[] {
  const heat = new Array<number>(side.tokens.length).fill(0);
  for (const row of rows) if (row.side === name) paint(heat, side, name, row);
  return heat;
}

function paint(heat: number[], side: ComparedSide, name: SideName, row: Row): void {
  const { feature, difference } = row;
  const maximum = Math.max(feature.max_activation ?? 0, difference.a.max, difference.b.max);
  const { tokens, activations } = difference[name];
  tokens.forEach((token, place) => {
    if (side.left_out[token]) return;
    heat[token] = Math.max(heat[token] ?? 0, level(activations[place] ?? 0, maximum));
  });
}

/** The pieces of a side's text; what both sides share and was left out is marked. */
export function comparedPieces(side: ComparedSide, heat: number[]): InspectedPiece[] {
  return inspectedPieces(side, heat).map((piece) => ({
    ...piece,
    shared: side.left_out[piece.first] ?? false,
  }));
}

/** Where a feature fires most in the text of a side that is shown. */
export function peakOf(row: Row, name: SideName): number | null {
  const { tokens, activations } = row.difference[name];
  const largest = Math.max(...activations);
  return tokens[activations.indexOf(largest)] ?? null;
}

/** What fires on a token, the strongest first. */
export function firingOn(rows: Row[], name: SideName, token: number): [Row, number][] {
  return rows
    .flatMap((row): [Row, number][] => {
      const place = row.difference[name].tokens.indexOf(token);
      return place < 0 ? [] : [[row, row.difference[name].activations[place] ?? 0]];
    })
    .sort(([, left], [, right]) => right - left);
}
