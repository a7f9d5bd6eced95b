/** What talks to the API, with `reviews.ts`; its types come from openapi.json. */
import type { components, paths } from "./api.gen";
import { follow, type FeedState } from "./follow";
import { encodeId } from "./ids";

export type Schemas = components["schemas"];
export type Example = Schemas["ExampleRead"];
export type Feature = Schemas["FeatureRead"];
export type FeatureSummary = Schemas["FeatureSummary"];
export type Histogram = Schemas["Histogram"];
export type Job = Schemas["JobRead"];
export type JobState = Job["state"];
export type Label = Schemas["LabelRead"];
export type Outcome = Schemas["OutcomeRead"];
export type Coverage = Schemas["CoverageRead"];
export type Drift = Schemas["DriftRead"];
export type FeatureDrift = Schemas["FeatureDriftRead"];
export type Labeling = Schemas["LabelingRead"];
export type Origin = Schemas["OriginRead"];
export type Resolution = Schemas["ResolutionRead"];
export type Score = Schemas["ScoreRead"];
export type ScoreDistribution = Schemas["ScoreDistributionRead"];
export type ScoredLabel = Schemas["ScoredLabelRead"];
export type Scores = Schemas["ScoresRead"];
export type Alike = Schemas["AlikeRead"];
export type AlikePage = Schemas["AlikePage"];
export type Neighbour = Schemas["NeighbourRead"];
export type Activity = Schemas["Activity"];
export type Release = Schemas["ReleaseRead"];
export type Corpus = Schemas["CorpusRead"];
export type Run = Schemas["RunRead"];
export type SearchHit = Schemas["SearchHit"];
export type SearchPage = Schemas["SearchPage"];
export type Facets = Schemas["FacetsRead"];
export type FacetCount = Schemas["CountRead"];
export type Piece = Schemas["PieceRead"];
export type FacetName = NonNullable<
  NonNullable<paths["/api/search/facets"]["get"]["parameters"]["query"]>["facet"]
>[number];
export type Sense = Schemas["SenseRead"];
export type Stage = Schemas["StageRead"];
export type Statistics = Schemas["Statistics"];
export type Status = Schemas["Status"];
export type Step = Schemas["StepRead"];
export type TagShare = Schemas["TagShare"];
export type TokenWeight = Schemas["TokenWeight"];
export type Worker = Schemas["WorkerRead"];
export type CollectRequest = Schemas["CollectRequest"];
export type FeatureMap = Schemas["MapRead"];
export type MapRegion = Schemas["RegionRead"];
export type MapState = Schemas["MapStateRead"];

export interface Page<T> {
  items: T[];
  next?: string | null;
}

type Json<R> = R extends { content: { "application/json": infer T } } ? T : never;
type Get<P extends keyof paths> = paths[P] extends { get: { responses: { 200: infer R } } }
  ? Json<R>
  : never;

/** What went wrong, in the API's own sentence where it gave one. */
export class ApiError extends Error {
  override name = "ApiError";
  constructor(
    readonly status: number,
    readonly title: string,
    detail: string,
    /** The whole answer, where it was JSON. */
    readonly body: unknown = null,
  ) {
    super(detail);
  }
}

export type Query = Record<
  string,
  string | number | boolean | readonly string[] | null | undefined
>;

export function address(path: string, query: Query = {}): string {
  const pairs = Object.entries(query)
    .flatMap(([name, value]) => [value].flat().map((one) => [name, one] as const))
    .filter(([, value]) => value != null && value !== "");
  const search = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]));
  return pairs.length ? `${path}?${search}` : path;
}

async function problem(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  const { title, detail } = (body ?? {}) as { title?: unknown; detail?: unknown };
  return new ApiError(
    response.status,
    typeof title === "string" ? title : `Error ${response.status}`,
    typeof detail === "string"
      ? detail
      : `The server answered ${response.status} ${response.statusText} without saying why; its log may tell.`,
    body,
  );
}

/** What is to happen when the API does not know who asks, e.g. since a login has ended. */
let whenUnknown = (): void => {};

export function onUnknown(then: () => void): void {
  whenUnknown = then;
}

export async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  return (await (await answer(path, init)).json()) as T;
}

export async function answer(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      ...init,
      // The second one no other site can send: it tells a change by this page from one by theirs.
      headers: { Accept: "application/json", "X-Scopebook": "1", ...init.headers },
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    const sentence = `Scopebook does not answer at ${location.origin}; check that it runs, then try again.`;
    throw new ApiError(0, "No answer", sentence);
  }
  if (response.status === 401) whenUnknown();
  if (!response.ok) throw await problem(response);
  return response;
}

export function get<P extends keyof paths>(path: P, query: Query = {}, signal?: AbortSignal) {
  return ask<Get<P>>(address(path, query), { signal: signal ?? null });
}

function post<T>(path: string, body?: unknown): Promise<T> {
  return ask<T>(path, withBody("POST", body));
}

export function withBody(method: string, body?: unknown): RequestInit {
  const headers = { "Content-Type": "application/json" };
  return { method, headers, body: JSON.stringify(body ?? {}) };
}

export interface Place {
  release?: string | null;
  layer?: number | null;
}

export interface FeatureQuery extends Place {
  flag?: string | null;
  sort?: string | null;
  cursor?: string | null;
}

export function getStatus(signal?: AbortSignal): Promise<Status> {
  return get("/api/status", {}, signal);
}

export function listReleases(signal?: AbortSignal): Promise<Page<Release>> {
  return get("/api/releases", {}, signal);
}

export function listCorpora(signal?: AbortSignal): Promise<Page<Corpus>> {
  return get("/api/corpora", {}, signal);
}

export function search(
  query: Place & { q: string; sort?: string | null; cursor?: string | null },
  signal?: AbortSignal,
): Promise<SearchPage> {
  return get("/api/search", { ...query, limit: 20, preview: true }, signal);
}

export function searchFacets(query: Place & { q: string }, signal?: AbortSignal): Promise<Facets> {
  return get("/api/search/facets", { ...query }, signal);
}

export function listFeatures(
  query: FeatureQuery,
  signal?: AbortSignal,
): Promise<Page<FeatureSummary>> {
  return get("/api/features", { ...query, limit: 50 }, signal);
}

export function getFeature(id: string, signal?: AbortSignal): Promise<Feature> {
  return ask<Feature>(`/api/features/${encodeId(id)}`, { signal: signal ?? null });
}

export function listJobs(cursor?: string | null, signal?: AbortSignal): Promise<Page<Job>> {
  return get("/api/jobs", { cursor, limit: 30 }, signal);
}

export function getJob(id: number | string, signal?: AbortSignal): Promise<Job> {
  return ask<Job>(`/api/jobs/${id}`, { signal: signal ?? null });
}

export function cancelJob(id: number): Promise<Job> {
  return post(`/api/jobs/${id}/cancel`);
}

export function retryJob(id: number): Promise<Job> {
  return post(`/api/jobs/${id}/retry`);
}

export interface StepQuery {
  state?: string | null;
  stage?: number | null;
  cursor?: string | null;
}

export function listSteps(id: number, query: StepQuery, signal?: AbortSignal): Promise<Page<Step>> {
  return ask<Page<Step>>(address(`/api/jobs/${id}/steps`, { ...query, limit: 50 }), {
    signal: signal ?? null,
  });
}

export interface RunQuery {
  release?: string | null;
  job?: number | null;
  cursor?: string | null;
}

export function listRuns(query: RunQuery, signal?: AbortSignal): Promise<Page<Run>> {
  return get("/api/runs", { ...query, limit: 20 }, signal);
}

/** Let the dictionary show a run's evidence for all its layers. */
export function useRun(id: number): Promise<Run> {
  return post(`/api/runs/${id}/use`);
}

/** The number as text: one of the address may be too long for a number. */
export function getRun(id: string, signal?: AbortSignal): Promise<Run> {
  return ask<Run>(`/api/runs/${id}`, { signal: signal ?? null });
}

export function startRun(request: CollectRequest): Promise<Job> {
  return post("/api/runs", request);
}

export function labelCoverage(signal?: AbortSignal): Promise<Page<Coverage>> {
  return get("/api/labels/coverage", {}, signal);
}

/** Word the shown examples of some layers by keywords, as a job. */
export function startLabeling(release: string, layers: number[], anew: boolean): Promise<Job> {
  return post("/api/labels", { release, layers, anew });
}

/** As many hits as one answer holds, without their text: to be marked on a map. */
export function searchForMap(
  query: Place & { q: string },
  signal?: AbortSignal,
): Promise<Page<SearchHit>> {
  return get("/api/search", { ...query, limit: 200 }, signal);
}

export function getMapState(release: string, signal?: AbortSignal): Promise<MapState> {
  return get("/api/maps/latest", { release }, signal);
}

/** A map's points, as `$lib/map/points` reads them. */
export async function getMapPoints(id: number, signal?: AbortSignal): Promise<ArrayBuffer> {
  const init = { signal: signal ?? null, headers: { Accept: "application/octet-stream" } };
  return (await answer(`/api/maps/${id}/points`, init)).arrayBuffer();
}

/** Draw the map of a release from its labels, as a job. */
export function drawMap(release: string): Promise<Job> {
  return post("/api/maps", { release });
}

/** What language models were asked about a feature, newest first. */
export function listOrigins(
  id: string,
  cursor?: string | null,
  signal?: AbortSignal,
): Promise<Page<Origin>> {
  return ask<Page<Origin>>(
    address(`/api/features/${encodeId(id)}/origins`, { cursor, limit: 10 }),
    { signal: signal ?? null },
  );
}

/** Features of the same release that are labelled nearly the same, the nearest first. */
export function listAlike(id: string, signal?: AbortSignal): Promise<AlikePage> {
  return ask<AlikePage>(`/api/features/${encodeId(id)}/alike`, { signal: signal ?? null });
}

/** How the labels in force are scored, and those of one scorer, the worst first. */
export function labelScores(
  query: Place & { scorer?: string | null; cursor?: string | null },
  signal?: AbortSignal,
): Promise<Scores> {
  return get("/api/labels/scores", { ...query, limit: 20 }, signal);
}

/** Two labelings of one layer by their ids, the farthest drifted features first. */
export function labelDrift(
  query: { first: number; second: number; cursor: string | null },
  signal?: AbortSignal,
): Promise<Drift> {
  return get("/api/labels/drift", { ...query, limit: 50 }, signal);
}

export function isFinal(state: JobState): boolean {
  return state === "done" || state === "failed" || state === "cancelled";
}

/** Over, and the workers of a failed job have stopped too. */
export function isSettled(job: Job): boolean {
  return isFinal(job.state) && !(job.workers ?? []).some((worker) => worker.alive);
}

interface Watcher {
  onItem: (job: Job) => void;
  onState?: (state: FeedState) => void;
}

/** Follow one job until it ends. */
export function watchJob(id: number, { onItem, onState = () => {} }: Watcher): () => void {
  return whileVisible(() =>
    follow<Job>({
      open: () => new EventSource(`/api/jobs/${id}/events`),
      ask: async () => [await getJob(id)],
      onItem,
      onState,
      isLast: isSettled,
    }),
  );
}

/** Follow every job that changes. */
export function watchJobs({ onItem, onState = () => {} }: Watcher): () => void {
  return whileVisible(() =>
    follow<Job>({
      open: () => new EventSource("/api/jobs/events"),
      ask: async () => (await listJobs()).items,
      onItem,
      onState,
      isLast: () => false,
    }),
  );
}

/**
 * Keep something going only while the tab can be seen: a browser allows six connections to one
 * HTTP/1.1 server, so that streams of forgotten tabs would lock out the one in front.
 */
export function whileVisible(start: () => () => void): () => void {
  let stop = document.hidden ? () => {} : start();
  const turn = (): void => {
    stop();
    stop = document.hidden ? () => {} : start();
  };
  document.addEventListener("visibilitychange", turn);
  return () => {
    document.removeEventListener("visibilitychange", turn);
    stop();
  };
}
