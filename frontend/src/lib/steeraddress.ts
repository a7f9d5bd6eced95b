/** A text to be steered as an address: what is asked, with its groups and tests. */
import type { Group } from "./groups";
import {
  newGroup,
  newIntervention,
  numbersOf,
  OPS,
  PLAIN,
  UNITS,
  type Intervention,
  type Op,
  type SteerQuestion,
  type Unit,
} from "./steer";
import { readTests, type PresetTest } from "./presettests";
import { parseId } from "./ids";

/** What browsers, proxies and people still take as an address. */
const LONGEST_IN_ADDRESS = 4000;
export const FIRST = 8;

/** The question as parameters of an address; null where its texts are too long for one. */
export function steerParams(question: SteerQuestion): Record<string, string | null> | null {
  const { text, goOn, strengths, prompt, written, special, askedFor } = question;
  const tests = question.tests.length > 0 ? JSON.stringify(question.tests) : null;
  if (encodeURIComponent(text + askedFor + (tests ?? "")).length > LONGEST_IN_ADDRESS) return null;
  return {
    text: text || null,
    ...interventionParams(question.interventions, question.groups),
    tokens: String(goOn.tokens),
    temperature: String(goOn.temperature),
    seed: String(goOn.seed),
    strengths: strengths.join(","),
    prompt: prompt === "all" ? null : prompt,
    written: written ? null : "off",
    special: special ? null : "off",
    ask: askedFor || null,
    tests,
    id: null,
    without: null,
  };
}

function interventionParams(
  interventions: readonly Intervention[],
  groups: readonly Group[],
): Record<"features" | "groups", string | null> {
  const places = new Map(groups.map(({ name }, place) => [name, place + 1]));
  const features = interventions.map(({ feature, op, value, unit, group, enabled }) => {
    const parts = [feature, op, value ?? "", unit];
    // Addresses without groups look as they always did.
    if (group !== null || !enabled) parts.push((group && places.get(group)) || "");
    if (!enabled) parts.push("off");
    return parts.join("~");
  });
  const named = groups.map(({ name, strength }) => [nameInAddress(name), strength ?? ""].join("~"));
  return { features: features.join(",") || null, groups: named.join(",") || null };
}

/** A name may hold what parts the others. */
function nameInAddress(name: string): string {
  return encodeURIComponent(name).replaceAll("~", "%7E");
}

/** What an address asks for; what is malformed in it counts as absent. */
export function steerFrom(params: URLSearchParams): SteerQuestion {
  const number = (name: string, otherwise: number): number =>
    numberOf(params.get(name)) ?? otherwise;
  const prompt = params.get("prompt");
  const { goOn } = PLAIN;
  const groups = (params.get("groups") ?? "").split(",").flatMap(groupOf);
  const interventions = (params.get("features") ?? "")
    .split(",")
    .flatMap((given) => interventionOf(given, groups));
  return {
    text: params.get("text") ?? "",
    interventions,
    groups: groups.filter(({ name }) => interventions.some(({ group }) => group === name)),
    goOn: {
      tokens: number("tokens", goOn.tokens),
      temperature: number("temperature", goOn.temperature),
      seed: number("seed", goOn.seed),
    },
    strengths: numbersOf(params.get("strengths") ?? "") ?? PLAIN.strengths,
    prompt: prompt === "last" || prompt === "none" ? prompt : "all",
    written: params.get("written") !== "off",
    special: params.get("special") !== "off",
    askedFor: params.get("ask") ?? "",
    tests: testsFrom(params.get("tests")),
  };
}

function numberOf(given: string | null): number | null {
  return given !== null && given !== "" && Number.isFinite(Number(given)) ? Number(given) : null;
}

function groupOf(given: string): Group[] {
  const [name = "", strength = ""] = given.split("~");
  try {
    return name ? [{ name: decodeURIComponent(name), strength: numberOf(strength) }] : [];
  } catch {
    return [];
  }
}

function interventionOf(given: string, groups: readonly Group[]): Intervention[] {
  const [feature = "", op = "", value = "", unit = "", group = "", off = ""] = given.split("~");
  if (!feature) return [];
  const first = {
    ...newIntervention(feature),
    group: groups[Number(group) - 1]?.name ?? null,
    enabled: off !== "off",
  };
  if (!(op in OPS)) return [first];
  return [
    {
      ...first,
      op: op as Op,
      value: numberOf(value),
      unit: unit in UNITS ? (unit as Unit) : first.unit,
    },
  ];
}

function testsFrom(given: string | null): PresetTest[] {
  if (!given) return [];
  try {
    return readTests(JSON.parse(given));
  } catch {
    return [];
  }
}

/** Where a feature is steered with. */
export function steerAddress(feature: string): string {
  return `/steer?${new URLSearchParams({ features: feature }).toString()}`;
}

/** Where several features are steered with as one concept. */
export function groupAddress(name: string, features: readonly string[]): string {
  const params = interventionParams(newGroup(features, name), [{ name, strength: 1 }]);
  return `/steer?${new URLSearchParams({ features: params.features ?? "", groups: params.groups ?? "" })}`;
}

/** The first features that can be steered at once: those of the same set as the very first. */
export function firstOf(features: readonly string[], most = FIRST): string[] {
  const set = features[0] && setOf(features[0]);
  return features.filter((id) => setOf(id) === set).slice(0, most);
}

function setOf(id: string): string {
  const parts = parseId(id);
  return parts ? `${parts.model}/${parts.setName}` : "";
}
