/** Features that are steered as one concept: what belongs together, and what is done to all of it. */
import type { Applied, Intervention } from "./steer";

/** Its strength is null while its field is empty. */
export interface Group {
  name: string;
  strength: number | null;
}

export interface Grouped {
  interventions: Intervention[];
  groups: Group[];
}

export const STRONGEST = 2;
const SAID = ["feature", "op", "value", "unit", "group", "enabled"] as const;
export const LONGEST_NAME = 200;

export function membersOf({ interventions }: Grouped, name: string): Intervention[] {
  return interventions.filter(({ group }) => group === name);
}

/** A name that no group has: the one that is wished, or with a number behind it. */
export function freeName(groups: readonly Group[], wished: string): string {
  const begin = wished.trim().slice(0, LONGEST_NAME - 4) || "group";
  const isTaken = (name: string): boolean => groups.some((group) => group.name === name);
  let name = begin;
  for (let number = 2; isTaken(name); number += 1) name = `${begin} ${number}`;
  return name;
}

/** Put features into a group, or into none; groups without a feature go. */
export function moved(of: Grouped, features: readonly string[], group: string | null): Grouped {
  const interventions = of.interventions.map((one) =>
    features.includes(one.feature) ? { ...one, group } : one,
  );
  const isKnown = group === null || of.groups.some(({ name }) => name === group);
  const groups = isKnown ? of.groups : [...of.groups, { name: group, strength: 1 }];
  return tidied({ interventions, groups });
}

export function renamed(of: Grouped, name: string, wished: string): Grouped {
  const others = of.groups.filter((group) => group.name !== name);
  const wanted = freeName(others, wished.trim() || name);
  return {
    interventions: of.interventions.map((one) =>
      one.group === name ? { ...one, group: wanted } : one,
    ),
    groups: of.groups.map((group) => (group.name === name ? { ...group, name: wanted } : group)),
  };
}

/** A group that no feature is in says nothing. */
export function tidied(of: Grouped): Grouped {
  return { ...of, groups: of.groups.filter(({ name }) => membersOf(of, name).length > 0) };
}

/** What a feature's change is multiplied by. */
export function strengthOf(groups: readonly Group[], { group }: Intervention): number {
  return groups.find(({ name }) => name === group)?.strength ?? 1;
}

/**
 * Of each feature of a group, its share of what the group adds: of the sum of the lengths. Only
 * of those that are still as they were when the model wrote.
 */
export function sharesOf(
  now: readonly Intervention[],
  asked: readonly Intervention[],
  applied: readonly Applied[],
): Map<string, number> {
  const isSame = (one: Intervention): boolean =>
    asked.some((was) => SAID.every((part) => was[part] === one[part]));
  const lengths = new Map(
    applied.flatMap(({ feature, share_of_norm: share }) => (share ? [[feature, share]] : [])),
  );
  const shares = new Map<string, number>();
  for (const name of new Set(now.map(({ group }) => group))) {
    const members = now.filter(({ group, enabled }) => group === name && enabled);
    if (name === null || !members.every(isSame)) continue;
    const sum = members.reduce((all, { feature }) => all + (lengths.get(feature) ?? 0), 0);
    for (const { feature } of members)
      if (lengths.has(feature)) shares.set(feature, (lengths.get(feature) ?? 0) / sum);
  }
  return shares;
}
