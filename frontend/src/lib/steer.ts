/** Texts that a model goes on with unsteered and steered: what is asked, and how it stands in an address. */
import { answer, ask, withBody, type Schemas } from "./client";
import type { GoOn, Written } from "./inspect";

export type Steering = Schemas["SteeringRead"];
export type SteeredVariant = Schemas["SteeredVariantRead"];
export type Applied = Schemas["AppliedRead"];
type SteerRequest = Schemas["SteerAskRequest"];
export type Op = Schemas["AppliedRead"]["op"];
export type Unit = "raw" | "max_act" | "resid_norm";
export type PromptPosition = "all" | "last" | "none";

export const OPS: Record<Op, { word: string; help: string }> = {
  add: { word: "add", help: "Its direction, whether it fires or not; below 0 it is taken away" },
  ablate: { word: "mute", help: "It does not fire" },
  scale: { word: "multiply", help: "It fires with so many times its activation" },
  set: { word: "set to", help: "It fires with this activation" },
  min_set: { word: "at least", help: "It fires with this activation or its own, if that is more" },
  project: {
    word: "project",
    help: "So much of the residual along its direction stays, also where it is silent",
  },
};
export const UNITS: Record<Unit, string> = {
  resid_norm: "× the residual’s norm",
  max_act: "× its largest",
  raw: "as an activation",
};

/** What is to be done to a feature. */
export interface Intervention {
  feature: string;
  op: Op;
  /** Null while its field is empty; mute takes none. */
  value: number | null;
  unit: Unit;
}

/** What somebody wants to have written. */
export interface SteerQuestion {
  text: string;
  interventions: Intervention[];
  goOn: GoOn;
  strengths: number[];
  prompt: PromptPosition;
  written: boolean;
  /** A prompt that asks for the same in words; empty: none. */
  askedFor: string;
}

export const MOST_STRENGTHS = 16;
/** What browsers, proxies and people still take as an address. */
const LONGEST_IN_ADDRESS = 4000;
const PLAIN: Omit<SteerQuestion, "text" | "interventions"> = {
  goOn: { tokens: 40, temperature: 0.8, seed: 1 },
  strengths: [1],
  prompt: "all",
  written: true,
  askedFor: "",
};

/** How a feature begins when it is chosen: half as strong as what is there. */
export function newIntervention(feature: string): Intervention {
  return { feature, op: "add", value: 0.5, unit: "resid_norm" };
}

export function takesValue(op: Op): boolean {
  return op !== "ablate";
}

export function takesUnit(op: Op): boolean {
  return op === "add" || op === "set" || op === "min_set";
}

export function requestOf(question: SteerQuestion): SteerRequest {
  const { text, interventions, goOn, strengths, prompt, written, askedFor } = question;
  return {
    text,
    messages: [],
    interventions: interventions.map(({ feature, op, value, unit }) => ({
      feature,
      op,
      value: takesValue(op) ? value : null,
      unit,
    })),
    go_on: goOn,
    strengths,
    positions: { prompt, written, special: true },
    asked_for: askedFor ? { text: askedFor, messages: [] } : null,
  };
}

/** Ask for a text to be steered; the answer is a stream of events. */
export function askSteering(
  question: SteerQuestion,
  _look: null,
  signal: AbortSignal,
): Promise<Response> {
  const init = withBody("POST", requestOf(question));
  return answer("/api/steer", {
    ...init,
    signal,
    headers: { ...init.headers, Accept: "text/event-stream" },
  });
}

export function steeringAgain(
  id: number | string,
  _look: null,
  signal: AbortSignal,
): Promise<Steering> {
  return ask(`/api/steer/${id}`, { signal });
}

export async function cancelSteering(id: number): Promise<void> {
  await answer(`/api/steer/${id}`, { method: "DELETE" });
}

/** A text as it is drawn: how it came about, and what the model wrote after the prompt. */
export interface Shown {
  kind: SteeredVariant["kind"];
  strength: number | null;
  prompt: string;
  tokens: readonly { text: string; probability: number; alternatives?: [string, number][] }[];
}

/** What a question will be answered by, filled with what is written by now. */
export function shownSoFar(question: SteerQuestion, written: readonly Written[]): Shown[] {
  const kinds: Pick<Shown, "kind" | "strength" | "prompt">[] = [
    { kind: "unsteered", strength: null, prompt: question.text },
    ...question.strengths.map((strength) => ({
      kind: "steered" as const,
      strength,
      prompt: question.text,
    })),
  ];
  if (question.askedFor) kinds.push({ kind: "asked", strength: null, prompt: question.askedFor });
  return kinds.map((kind, place) => ({
    ...kind,
    tokens: (written[place] ?? []).map(([text, probability]) => ({ text, probability })),
  }));
}

export function shownOf(variant: SteeredVariant): Shown {
  // Counted in characters, of which some are two places of a string.
  const prompt = [...variant.text].slice(0, variant.begun).join("");
  return {
    kind: variant.kind,
    strength: variant.strength ?? null,
    prompt,
    tokens: variant.tokens.map((token) => ({
      ...token,
      alternatives: token.alternatives as [string, number][],
    })),
  };
}

export function titleOf({ kind, strength }: Pick<Shown, "kind" | "strength">): string {
  if (kind === "unsteered") return "Unsteered";
  if (kind === "asked") return "Asked for in words";
  return strength === 1 ? "Steered" : `Steered × ${strength}`;
}

/** Numbers of a list such as "0.5, 1, 2"; null: it is none. */
export function numbersOf(list: string): number[] | null {
  const numbers = list.split(",").map((one) => (one.trim() ? Number(one) : NaN));
  const isGood = numbers.every(Number.isFinite) && numbers.length <= MOST_STRENGTHS;
  return isGood ? numbers : null;
}

/** The question as parameters of an address; null where its texts are too long for one. */
export function steerParams(question: SteerQuestion): Record<string, string | null> | null {
  const { text, interventions, goOn, strengths, prompt, written, askedFor } = question;
  if (encodeURIComponent(text + askedFor).length > LONGEST_IN_ADDRESS) return null;
  return {
    text: text || null,
    features: interventions.map(inAddress).join(",") || null,
    tokens: String(goOn.tokens),
    temperature: String(goOn.temperature),
    seed: String(goOn.seed),
    strengths: strengths.join(","),
    prompt: prompt === "all" ? null : prompt,
    written: written ? null : "off",
    ask: askedFor || null,
    id: null,
  };
}

function inAddress({ feature, op, value, unit }: Intervention): string {
  return [feature, op, value ?? "", unit].join("~");
}

/** What an address asks for; what is malformed in it counts as absent. */
export function steerFrom(params: URLSearchParams): SteerQuestion {
  const number = (name: string, otherwise: number): number => {
    const value = params.get(name);
    return value !== null && value !== "" && Number.isFinite(Number(value))
      ? Number(value)
      : otherwise;
  };
  const prompt = params.get("prompt");
  const { goOn } = PLAIN;
  return {
    text: params.get("text") ?? "",
    interventions: (params.get("features") ?? "").split(",").flatMap(interventionOf),
    goOn: {
      tokens: number("tokens", goOn.tokens),
      temperature: number("temperature", goOn.temperature),
      seed: number("seed", goOn.seed),
    },
    strengths: numbersOf(params.get("strengths") ?? "") ?? PLAIN.strengths,
    prompt: prompt === "last" || prompt === "none" ? prompt : "all",
    written: params.get("written") !== "off",
    askedFor: params.get("ask") ?? "",
  };
}

function interventionOf(given: string): Intervention[] {
  const [feature = "", op = "", value = "", unit = ""] = given.split("~");
  if (!feature) return [];
  const first = newIntervention(feature);
  if (!(op in OPS)) return [first];
  const number = Number(value);
  return [
    {
      feature,
      op: op as Op,
      value: value !== "" && Number.isFinite(number) ? number : null,
      unit: unit in UNITS ? (unit as Unit) : first.unit,
    },
  ];
}

/** Where a feature is steered with. */
export function steerAddress(feature: string): string {
  return `/steer?${new URLSearchParams({ features: feature }).toString()}`;
}

/** Why a question cannot be asked yet; null: it can. */
export function lacks(question: SteerQuestion, strengths: string): string | null {
  if (!question.text) return "Write a text for the model to go on with.";
  if (question.interventions.length === 0) return "Choose a feature.";
  if (question.interventions.some(({ op, value }) => takesValue(op) && value === null))
    return "Give each feature a number.";
  if (numbersOf(strengths) === null)
    return `Give up to ${MOST_STRENGTHS} strengths, such as 0.5, 1, 2.`;
  return null;
}
