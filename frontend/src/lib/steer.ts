/** Texts that a model goes on with unsteered and steered: what is asked, and how it stands in an address. */
import { answer, ask, withBody, type Schemas } from "./client";
import { strengthOf, type Group } from "./groups";
import { parseId } from "./ids";
import type { GoOn, Written } from "./inspect";
import type { PresetTest } from "./presettests";

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
  /** The name of its group, whose strength multiplies the change. */
  group: string | null;
  /** One that is not stays in the form and does nothing. */
  enabled: boolean;
}

/** What somebody wants to have written. */
export interface SteerQuestion {
  text: string;
  interventions: Intervention[];
  groups: Group[];
  goOn: GoOn;
  strengths: number[];
  prompt: PromptPosition;
  written: boolean;
  /** Also tokens that stand for no text. */
  special: boolean;
  /** A prompt that asks for the same in words; empty: none. */
  askedFor: string;
  /** What is expected of what is written, where it is to be kept as a preset. */
  tests: PresetTest[];
}

export const MOST_STRENGTHS = 16;
export const PLAIN: Omit<SteerQuestion, "text" | "interventions"> = {
  groups: [],
  goOn: { tokens: 40, temperature: 0.8, seed: 1 },
  strengths: [1],
  prompt: "all",
  written: true,
  special: true,
  askedFor: "",
  tests: [],
};

/** How a feature begins when it is chosen: half as strong as what is there. */
export function newIntervention(feature: string): Intervention {
  return { feature, op: "add", value: 0.5, unit: "resid_norm", group: null, enabled: true };
}

/** How features begin that are chosen as one concept: those of a layer together half as strong. */
export function newGroup(features: readonly string[], group: string): Intervention[] {
  const layerOf = (feature: string): number | undefined => parseId(feature)?.layer;
  return features.map((feature) => {
    const beside = features.filter((other) => layerOf(other) === layerOf(feature)).length;
    const first = newIntervention(feature);
    return { ...first, value: Number(((first.value ?? 1) / beside).toPrecision(2)), group };
  });
}

export function takesValue(op: Op): boolean {
  return op !== "ablate";
}

export function takesUnit(op: Op): boolean {
  return op === "add" || op === "set" || op === "min_set";
}

export function requestOf(question: SteerQuestion): SteerRequest {
  const { text, goOn, strengths, prompt, written, special, askedFor } = question;
  const interventions = question.interventions.filter(({ enabled }) => enabled);
  return {
    text,
    messages: [],
    interventions: interventions.map((one) => ({
      feature: one.feature,
      op: one.op,
      value: takesValue(one.op) ? one.value : null,
      unit: one.unit,
      strength: strengthOf(question.groups, one),
    })),
    go_on: goOn,
    strengths,
    positions: { prompt, written, special },
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

/** Why a question cannot be asked yet; null: it can. */
export function lacks(question: SteerQuestion, strengths: string): string | null {
  if (!question.text) return "Write a text for the model to go on with.";
  const lacking = draftLacks(question);
  if (lacking) return lacking;
  if (numbersOf(strengths) === null)
    return `Give up to ${MOST_STRENGTHS} strengths, such as 0.5, 1, 2.`;
  return null;
}

/** Why what is done to the features can neither be asked nor kept yet; null: it can. */
export function draftLacks({ interventions, groups }: SteerQuestion): string | null {
  if (interventions.length === 0) return "Choose a feature.";
  if (interventions.every(({ enabled }) => !enabled)) return "Switch a feature on.";
  if (interventions.some(({ op, value }) => takesValue(op) && value === null))
    return "Give each feature a number.";
  if (groups.some(({ strength }) => strength === null)) return "Give each group a strength.";
  return null;
}
