/** Texts that are run live: what is asked, how it stands in an address, and who is on which token. */
import { address, answer, ask, withBody, type Query, type Schemas } from "./client";
import { level } from "./heat";

export type Inspection = Schemas["InspectionRead"];
export type InspectedToken = Schemas["TokenRead"];
export type FeatureBrief = Schemas["FeatureBrief"];
export type Firing = Schemas["FiringRead"];
export type Turn = Schemas["TurnRequest"];
export type TurnRole = Turn["role"];
export type InspectRequest = Schemas["InspectRequest"];

/** Text and probability of each token that the model has written. */
export type Written = readonly (readonly [string, number])[];

/** How far a request is, as its events say. */
export interface Progress {
  id: number;
  state: "queued" | "loading" | "running" | "done" | "failed" | "cancelled";
  /** How many requests come before it in the queue. */
  ahead: number;
  written: Written;
}

export const ROLES: TurnRole[] = ["system", "user", "assistant", "tool"];

export const ORDERS = {
  activation: { word: "activation", help: "Features that fire most strongly come first." },
  total: {
    word: "total",
    help: "First come features whose activations over the whole text add up to the most.",
  },
  surprise: {
    word: "surprise",
    help: "First come features that fire strongly for what is usual for themselves on the corpus.",
  },
  rarity: { word: "rarity", help: "Features that fire on the fewest tokens of the corpus first." },
} as const;
export type Order = keyof typeof ORDERS;

export interface GoOn {
  tokens: number;
  temperature: number;
  seed: number;
}

/** What somebody wants to have run. */
export interface Question {
  release: string;
  /** Null: all of the release. */
  layers: number[] | null;
  text: string;
  /** Instead of `text`: a chat. */
  turns: Turn[] | null;
  /** Null: the template decides. */
  thinking: boolean | null;
  goOn: GoOn | null;
}

/** What of an answer is shown, which takes no model. */
export interface Look {
  sort: Order;
  /** Null: all that were run. */
  layers: number[] | null;
  everything: boolean;
  limit: number;
}

export const FEATURES_AT_ONCE = 50;
export const MOST_FEATURES = 500;
const FEATURES_PER_TOKEN = 10;
/** What browsers, proxies and people still take as an address. */
const LONGEST_IN_ADDRESS = 4000;
/** An address that names a text names no document of a scan. */
const NO_DOCUMENT = { scan: null, document: null };

export function requestOf(question: Question): InspectRequest {
  const { release, layers, text, turns, thinking, goOn } = question;
  const prompt = turns ? { messages: turns, thinking } : { text };
  return { model: release, layers, go_on: goOn, ...prompt };
}

export function lookQuery({ sort, layers, everything, limit }: Look): Query {
  const layer = layers?.map(String) ?? null;
  return { sort, layer, everything, limit, per_token: FEATURES_PER_TOKEN };
}

/** Ask for a text to be run; the answer is a stream of events. */
export function askInspection(
  question: Question,
  look: Look,
  signal: AbortSignal,
): Promise<Response> {
  const init = withBody("POST", requestOf(question));
  return answer(address("/api/inspect", lookQuery(look)), {
    ...init,
    signal,
    headers: { ...init.headers, Accept: "text/event-stream" },
  });
}

/** Look at a text that was run within the hour another way. */
export function lookAgain(
  id: number | string,
  look: Look,
  signal?: AbortSignal,
): Promise<Inspection> {
  return ask(address(`/api/inspect/${id}`, lookQuery(look)), { signal: signal ?? null });
}

/** One feature of such a text, wherever it stands in the order; null: it does not fire there. */
export async function findFiring(id: number, look: Look, feature: string): Promise<Firing | null> {
  const query = { ...lookQuery({ ...look, limit: 1 }), per_token: 0, feature };
  return (await ask<Inspection>(address(`/api/inspect/${id}`, query))).firings[0] ?? null;
}

export async function cancelInspection(id: number): Promise<void> {
  await answer(`/api/inspect/${id}`, { method: "DELETE" });
}

/** The question as parameters of an address; null where its text is too long for one. */
export function toParams(question: Question): Record<string, string | null> | null {
  const { release, layers, text, turns, thinking, goOn } = question;
  const words = turns ? JSON.stringify(turns.map(({ role, content }) => [role, content])) : text;
  if (encodeURIComponent(words).length > LONGEST_IN_ADDRESS) return null;
  return {
    ...placeParams(release, layers),
    text: turns ? null : words,
    chat: turns ? words : null,
    thinking: turns && thinking !== null ? (thinking ? "on" : "off") : null,
    go: goOn ? String(goOn.tokens) : null,
    temperature: goOn?.temperature ? String(goOn.temperature) : null,
    seed: goOn?.seed ? String(goOn.seed) : null,
    id: null,
    ...NO_DOCUMENT,
  };
}

/** What stands in an address of a text that is too long for one: where its answer lies. */
export function idParams({ release, layers }: Question, id: number): Record<string, string | null> {
  const none = { text: null, chat: null, thinking: null, go: null, temperature: null, seed: null };
  return { ...placeParams(release, layers), ...none, ...NO_DOCUMENT, id: String(id) };
}

function placeParams(release: string, layers: number[] | null): Record<string, string | null> {
  return { release, layers: layers?.join(",") ?? null };
}

/** What an address asks for; what is malformed in it counts as absent. */
export function fromParams(params: URLSearchParams): Question {
  const tokens = whole(params.get("go"));
  const thinking = params.get("thinking");
  const temperature = Number(params.get("temperature") ?? 0);
  return {
    release: params.get("release") ?? "",
    layers: layersOf(params.get("layers")),
    text: params.get("text") ?? "",
    turns: turnsOf(params.get("chat")),
    thinking: thinking === "on" ? true : thinking === "off" ? false : null,
    goOn: tokens
      ? {
          tokens,
          temperature: Number.isFinite(temperature) ? temperature : 0,
          seed: whole(params.get("seed")) ?? 0,
        }
      : null,
  };
}

export function orderOf(params: URLSearchParams): Order {
  const sort = params.get("sort") ?? "";
  return sort in ORDERS ? (sort as Order) : "activation";
}

/** Whether there is something to run. */
export function hasText({ text, turns }: Question): boolean {
  return turns ? turns.some((turn) => turn.content !== "") : text !== "";
}

function whole(value: string | null): number | null {
  return value !== null && /^\d{1,15}$/.test(value) ? Number(value) : null;
}

function layersOf(value: string | null): number[] | null {
  const layers = (value ?? "").split(",").map(whole);
  const known = layers.filter((layer) => layer !== null);
  return known.length > 0 ? known : null;
}

function turnsOf(value: string | null): Turn[] | null {
  try {
    const read: unknown = JSON.parse(value ?? "null");
    if (!Array.isArray(read) || read.length === 0) return null;
    return read.map((one: unknown) => {
      const [role, content] = one as [TurnRole, string];
      if (!ROLES.includes(role) || typeof content !== "string") throw new TypeError();
      return { role, content };
    });
  } catch {
    return null;
  }
}

/**
 * The activation that gets the strongest colour: the largest that is known of the feature, so that
 * one colour says the same of features whose activations differ in size.
 */
export function maximumOf(feature: FeatureBrief, firing?: Firing | null): number {
  return Math.max(feature.max_activation ?? 0, firing?.max ?? 0);
}

/** The step of the colour scale of each token, by one feature. */
export function heatOf(tokens: number, feature: FeatureBrief, firing: Firing): number[] {
  const heat = new Array<number>(tokens).fill(0);
  const maximum = maximumOf(feature, firing);
  firing.tokens.forEach((token, place) => {
    heat[token] = level(firing.activations[place] ?? 0, maximum);
  });
  return heat;
}

/** The step of the colour scale of each token, by the feature that fires most strongly on it. */
export function strongestHeat({ strongest, features }: Inspection): number[] {
  return strongest.map((ofToken) => {
    const [place, value] = ofToken[0] ?? [-1, 0];
    const feature = features[place];
    return feature ? level(value, Math.max(maximumOf(feature), value)) : 0;
  });
}

/** A piece of the text as it is drawn, with all of its tokens. */
export interface InspectedPiece {
  text: string;
  /** The first of its tokens; the others follow. */
  first: number;
  last: number;
  heat: number;
  special: boolean;
  written: boolean;
  leftOut: boolean;
  /** It is on both sides of a comparison that leaves such tokens out. */
  shared?: boolean;
}

/** The pieces of the text, each with the strongest colour of its tokens. */
export function inspectedPieces(
  { pieces, tokens }: Pick<Inspection, "pieces" | "tokens">,
  heat: number[],
): InspectedPiece[] {
  const drawn: InspectedPiece[] = [];
  tokens.forEach((token, place) => {
    const open = drawn.at(-1);
    const own = heat[place] ?? 0;
    if (open && tokens[open.first]?.piece === token.piece) {
      open.last = place;
      open.heat = Math.max(open.heat, own);
      return;
    }
    drawn.push({
      text: pieces[token.piece] ?? "",
      first: place,
      last: place,
      heat: own,
      special: token.special,
      written: token.written,
      leftOut: whyLeftOut(tokens, place) !== null,
    });
  });
  return drawn;
}

/** Why a collection would not count the features of a token; null: it would. */
export function whyLeftOut(tokens: InspectedToken[], place: number): string | null {
  const sinks = tokens[place]?.sinks ?? [];
  if (place === 0) {
    return "The first token is left out: the residual stream there is far from what SAEs are trained on.";
  }
  if (sinks.length === 0) return null;
  const layers = `${sinks.length === 1 ? "layer" : "layers"} ${sinks.join(", ")}`;
  return `It is an activation sink in ${layers}, where it is left out.`;
}

/** With which probability the model has written a token; null: it has not, or that is not known. */
export function probabilityOf(
  tokens: InspectedToken[],
  written: Written,
  place: number,
): number | null {
  if (!tokens[place]?.written) return null;
  const first = tokens.findIndex((token) => token.written);
  return written[place - first]?.[1] ?? null;
}

/** The text without what the model has written. */
export function askedText({ text, tokens }: Inspection): string {
  const first = tokens.find((token) => token.written);
  return first ? text.slice(0, first.start) : text;
}

/** How a request stands, in a sentence. */
export function standing(progress: Progress | null): string {
  if (!progress) return "Asking …";
  if (progress.state === "loading") return "The model is being loaded; the next text is faster.";
  if (progress.state !== "queued") {
    const written = progress.written.length;
    return written
      ? `The model writes: ${written} ${written === 1 ? "token" : "tokens"} so far.`
      : "The model reads the text.";
  }
  if (progress.ahead === 0) return "In the queue: next in line.";
  return `In the queue: ${progress.ahead} ${progress.ahead === 1 ? "comes" : "come"} before you.`;
}
