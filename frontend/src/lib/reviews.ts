/** Talks to the API about what people say of features. */
import { address, answer, ask, whileVisible, type Page, type Place, type Schemas } from "./client";
import { follow, type FeedState } from "./follow";
import { encodeId } from "./ids";

export type Annotation = Schemas["AnnotationRead"];
export type Change = Schemas["ChangeRead"];
export type Comment = Schemas["CommentRead"];
export type Review = Schemas["ReviewRead"];
export type SenseLabels = Schemas["SenseLabelsRead"];
export type Verdict = Review["verdict"];
export type Tag = Schemas["TagRead"];
export type Lease = Schemas["LeaseRead"];
export type QueueState = Schemas["QueueRead"];
export type Agreement = Schemas["AgreementRead"];
export type AgreementReport = Schemas["AgreementReportRead"];
export type Mention = Schemas["MentionRead"];

/** Of an event stream, which the schema does not describe. */
interface Live {
  version: number;
  present: string[];
}

/** One change that a person makes to a feature. */
export interface Write {
  method: "POST" | "PUT" | "DELETE";
  /** Below the feature's own address. */
  path: string;
  body?: unknown;
}

function below(id: string, path: string): string {
  return `/api/features/${encodeId(id)}/${path}`;
}

function json(method: string, body: unknown, headers: Record<string, string> = {}): RequestInit {
  return {
    method,
    headers: { "Content-Type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  };
}

export function getAnnotation(id: string, signal?: AbortSignal): Promise<Annotation> {
  return ask<Annotation>(below(id, "annotation"), { signal: signal ?? null });
}

/** Make a change to the version that was read; another version is refused with 412. */
export function writeTo(id: string, write: Write, version: number): Promise<Annotation> {
  return ask<Annotation>(
    below(id, write.path),
    json(write.method, write.body, { "If-Match": `"${version}"` }),
  );
}

export function listChanges(
  id: string,
  cursor?: string | null,
  signal?: AbortSignal,
): Promise<Page<Change>> {
  return ask<Page<Change>>(address(below(id, "history"), { cursor, limit: 20 }), {
    signal: signal ?? null,
  });
}

export function listTags(signal?: AbortSignal): Promise<Page<Tag>> {
  return ask<Page<Tag>>("/api/tags", { signal: signal ?? null });
}

/** Add a word to the team's vocabulary; editors may. */
export function addTag(name: string): Promise<Tag> {
  return ask<Tag>(`/api/tags/${encodeURIComponent(name)}`, json("PUT", {}));
}

export function getQueue(place: Place, signal?: AbortSignal): Promise<QueueState> {
  return ask<QueueState>(address("/api/queue", { ...place }), { signal: signal ?? null });
}

/** Take the next feature into one's hand; the one that one has comes again. */
export async function takeNext(place: Place & { tag?: string | null }): Promise<Lease | null> {
  const wanted = {
    release: place.release ?? null,
    layers: place.layer == null ? null : [place.layer],
    tag: place.tag ?? null,
  };
  return (await ask<Schemas["NextRead"]>("/api/queue/next", json("POST", wanted))).lease;
}

/** Give a feature out of one's hand, and do not get it again for a day. */
export async function skipFeature(id: string): Promise<void> {
  await answer("/api/queue/skip", json("POST", { feature: id }));
}

export function getAgreement(
  release: string | null,
  signal?: AbortSignal,
): Promise<AgreementReport> {
  return ask<AgreementReport>(address("/api/agreement", { release }), { signal: signal ?? null });
}

export function listMentions(signal?: AbortSignal): Promise<Page<Mention>> {
  return ask<Page<Mention>>("/api/comments/mentions?limit=10", { signal: signal ?? null });
}

/** One word for this open page, so that two pages of one person are two. */
const VIEWER = Math.random().toString(36).slice(2, 12) + Date.now().toString(36);

interface Watcher<T> {
  onItem: (item: T) => void;
  onState: (state: FeedState) => void;
}

/** Follow a feature's version and who looks at it. */
export function watchFeature(id: string, { onItem, onState }: Watcher<Live>): () => void {
  return whileVisible(() =>
    follow<Live>({
      open: () => new EventSource(below(id, `live?viewer=${VIEWER}`)),
      ask: async () => [{ version: (await getAnnotation(id)).version, present: [] }],
      event: "feature",
      onItem,
      onState,
      isLast: () => false,
    }),
  );
}

/** Follow how much there is to review, and in whose hand. */
export function watchQueue({ onItem, onState }: Watcher<QueueState>): () => void {
  return whileVisible(() =>
    follow<QueueState>({
      open: () => new EventSource("/api/queue/live"),
      ask: async () => [await getQueue({})],
      event: "queue",
      onItem,
      onState,
      isLast: () => false,
    }),
  );
}

export type Bulk = Schemas["BulkRead"];
export type BulkKind = Schemas["BulkRequest"]["kind"];

/** What an action on many features would do; nothing is changed until it is applied. */
export function previewBulk(
  features: string[],
  wanted: { kind: BulkKind; tag: string | null; reason: string | null },
): Promise<Bulk> {
  return ask<Bulk>("/api/reviews/bulk", json("POST", { features, ...wanted }));
}

export function applyBulk(token: string): Promise<Bulk> {
  return ask<Bulk>(`/api/reviews/bulk/${encodeURIComponent(token)}/apply`, json("POST", undefined));
}

export function undoBulk(id: number): Promise<Bulk> {
  return ask<Bulk>(`/api/reviews/bulk/${id}/undo`, json("POST", undefined));
}
