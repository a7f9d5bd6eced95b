/** What pages ask of presets, their versions, exports and measurements. */
import { ROLES } from "./accounts";
import { ApiError, ask, get, withBody, type Job, type Page, type Schemas } from "./client";
import type { Op, SteerQuestion, Unit } from "./steer";
import { membersOf, type Group } from "./groups";
import { takesValue } from "./steer";
import { readTests } from "./presettests";

export type Preset = Schemas["PresetRead"];
export type Draft = Schemas["DraftShape"];
export type VersionSummary = Schemas["VersionSummary"];
export type Difference = Schemas["PresetDifferenceRead"];
export type Target = Schemas["TargetRead"];
export type PresetExport = Schemas["ExportRead"];
export type Report = Schemas["ReportRead"];
export type TestFound = Schemas["PresetTestFoundRead"];
export type Pruning = Schemas["PruneFoundRead"];
export type Audience = Preset["visible_to"];
export type Status = Preset["status"];
export type NewPreset = Schemas["PresetRequest"];
export type Version = Schemas["VersionRead"];

/** An amount of a document: as people gave it, and what that is in activations. */
export interface Amount {
  value: number;
  unit?: Unit;
  absolute: number;
  max_act?: number | null;
  d_norm?: number;
  resid_norm?: number | null;
}

/** What a document says of a feature. */
export interface PinnedIntervention {
  id: string;
  label: string | null;
  op: Op;
  group: string | null;
  enabled: boolean;
  strength?: Amount;
  target?: Amount;
  factor?: Amount;
}

/** What pages read of `preset.json`. */
export interface PresetDocument {
  interventions: PinnedIntervention[];
  groups: { name: string; strength: number }[];
  notice: { caution: string | null };
}

export const AUDIENCES: Record<Audience, string> = {
  viewer: "all who may come in",
  annotator: `${ROLES[1] ?? ""}s and above`,
  editor: "editors and admins",
  admin: "admins",
  owner: "nobody but its owner",
};

export function listPresets(
  query: { release: string | null; archived: boolean },
  cursor: string | null,
  signal?: AbortSignal,
): Promise<Page<Preset>> {
  return get("/api/presets", { ...query, cursor, limit: 50 }, signal);
}

function path(id: number | string, rest = ""): string {
  return `/api/presets/${encodeURIComponent(id)}${rest}`;
}

function asRead(method: string, body: object, { revision }: Pick<Preset, "revision">): RequestInit {
  const init = withBody(method, body);
  return { ...init, headers: { ...init.headers, "If-Match": `"${revision}"` } };
}

export function readPreset(id: number | string, signal?: AbortSignal): Promise<Preset> {
  return ask(path(id), { signal: signal ?? null });
}

export function makePreset(wanted: NewPreset): Promise<Preset> {
  return ask("/api/presets", withBody("POST", wanted));
}

export function importPreset(wanted: Schemas["ImportRequest"]): Promise<Preset> {
  return ask("/api/presets/import", withBody("POST", wanted));
}

export function changePreset(
  preset: Preset,
  changes: Partial<Pick<Preset, "name" | "description" | "visible_to" | "archived">>,
): Promise<Preset> {
  return ask(path(preset.id), asRead("PATCH", changes, preset));
}

export function saveVersion(preset: Preset, draft: Draft, note: string): Promise<Preset> {
  return ask(path(preset.id, "/versions"), asRead("POST", { draft, note }, preset));
}

export function listVersions(
  id: number | string,
  signal?: AbortSignal,
): Promise<Page<VersionSummary>> {
  return ask(path(id, "/versions"), { signal: signal ?? null });
}

export function readVersion(
  id: number | string,
  number: number,
  signal?: AbortSignal,
): Promise<Version> {
  return ask(path(id, `/versions/${number}`), { signal: signal ?? null });
}

export function decide(preset: Preset, number: number, status: Status, note: string) {
  const init = asRead("POST", { status, note }, preset);
  return ask<Preset>(path(preset.id, `/versions/${number}/status`), init);
}

export function forkPreset(id: number, number: number, name: string): Promise<Preset> {
  return ask(path(id, `/versions/${number}/fork`), withBody("POST", { name }));
}

export function readDiff(
  id: number,
  before: number,
  after: number,
  signal?: AbortSignal,
): Promise<Schemas["PresetDiffRead"]> {
  return ask(path(id, `/diff?before=${before}&after=${after}`), { signal: signal ?? null });
}

export function listTargets(
  id: number,
  number: number,
  signal?: AbortSignal,
): Promise<Page<Target>> {
  return ask(path(id, `/versions/${number}/targets`), { signal: signal ?? null });
}

export function askExports(id: number, number: number, targets: string[]): Promise<Job> {
  return ask(path(id, `/versions/${number}/exports`), withBody("POST", { targets }));
}

export function listExports(id: number, signal?: AbortSignal): Promise<Page<PresetExport>> {
  return ask(path(id, "/exports"), { signal: signal ?? null });
}

export function exportAddress(id: number, exportId: number): string {
  return path(id, `/exports/${exportId}/file`);
}

export function askTests(id: number, number: number): Promise<Job> {
  return ask(path(id, `/versions/${number}/tests`), withBody("POST"));
}

export function askPruning(
  id: number,
  number: number,
  wanted: Schemas["PruneRequest"],
): Promise<Job> {
  return ask(path(id, `/versions/${number}/prune`), withBody("POST", wanted));
}

export function listReports(id: number, signal?: AbortSignal): Promise<Page<Report>> {
  return ask(path(id, "/reports"), { signal: signal ?? null });
}

/** The preset as somebody else has made it meanwhile, where that is why a change was refused. */
export function changedMeanwhile(error: unknown): Preset | null {
  if (!(error instanceof ApiError) || error.status !== 412) return null;
  return (error.body as { current?: Preset } | null)?.current ?? null;
}

/** Where a version is opened to be tried and changed; `without`: all of it but some features. */
export function editAddress(id: number, version: number, without: readonly string[] = []): string {
  const params = new URLSearchParams({ preset: String(id), version: String(version) });
  if (without.length > 0) params.set("without", without.join(","));
  return `/steer?${params}`;
}

/** What is done to the features, as a version of a preset holds it. */
export function draftOf(question: SteerQuestion): Draft {
  const { interventions, prompt, written, special } = question;
  return {
    interventions: interventions.map((one) => ({
      ...one,
      value: takesValue(one.op) ? one.value : null,
    })),
    groups: question.groups
      .filter(({ name }) => membersOf(question, name).length > 0)
      .map(({ name, strength }) => ({ name, strength: strength ?? 1 })),
    positions: { prompt, written, special },
    tests: question.tests,
  };
}

/** A version as a question, with what else is asked taken from another one. */
export function questionOf(
  draft: Draft,
  other: SteerQuestion,
  without: readonly string[] = [],
): SteerQuestion {
  const interventions = draft.interventions
    .filter(({ feature }) => !without.includes(feature))
    .map((one) => ({ ...one, value: one.value ?? null, group: one.group ?? null }));
  const groups: Group[] = (draft.groups ?? []).filter(({ name }) =>
    interventions.some(({ group }) => group === name),
  );
  const { prompt, written, special } = draft.positions ?? {
    prompt: "all" as const,
    written: true,
    special: true,
  };
  const tests = readTests(draft.tests ?? []);
  const text = other.text || (tests[0]?.prompts[0] ?? "");
  return { ...other, text, interventions, groups, prompt, written, special, tests };
}

/** What of an operation a document gives as an amount; null: it takes none. */
export function amountOf(one: PinnedIntervention): Amount | null {
  return one.strength ?? one.target ?? one.factor ?? null;
}

/** What a feature adds over the residual's mean norm, with its group's strength; null: not known. */
export function shareOfNorm(one: PinnedIntervention, groups: PresetDocument["groups"]) {
  const amount = amountOf(one);
  if (one.op !== "add" || !amount?.resid_norm || amount.d_norm === undefined) return null;
  const strength = groups.find(({ name }) => name === one.group)?.strength ?? 1;
  return (Math.abs(amount.absolute * strength) * amount.d_norm) / amount.resid_norm;
}

/** The newest report of a kind on a version, each test's or group's own one first. */
export function reportsOf(
  reports: readonly Report[],
  version: number,
  kind: Report["kind"],
): Report[] {
  return reports.filter((report) => report.version === version && report.kind === kind);
}

/** What no tool carries that a version can be exported for: said once. */
export function lossesOfAll(targets: readonly Target[]): string[] {
  const [first, ...others] = targets.filter(({ refusals }) => refusals.length === 0);
  if (!first || others.length === 0) return [];
  return first.losses.filter((loss) => others.every(({ losses }) => losses.includes(loss)));
}

/** Features that a pruning leaves out. */
export function leftOut({ members }: Pick<Pruning, "members">): string[] {
  return members.filter(({ kept }) => !kept).map(({ feature }) => feature);
}
