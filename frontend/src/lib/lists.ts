/** What pages ask of lists and kept searches. */
import { answer, ask, get, withBody, type Page } from "./client";
import type { components } from "./api.gen";

type Schemas = components["schemas"];
export type FeatureList = Schemas["ListRead"];
export type ListItem = Schemas["ItemRead"];
/** A list's item with what a `Listing` tells items apart by. */
export type KeptItem = ListItem & { id: string };

export function listLists(cursor: string | null, signal?: AbortSignal): Promise<Page<FeatureList>> {
  return get("/api/lists", { cursor, limit: 50 }, signal);
}

export function readList(id: string, signal?: AbortSignal): Promise<FeatureList> {
  return ask(`/api/lists/${encodeURIComponent(id)}`, { signal: signal ?? null });
}

export async function readItems(
  id: string,
  cursor: string | null,
  signal?: AbortSignal,
): Promise<Page<KeptItem>> {
  const query = new URLSearchParams(cursor ? { cursor } : {});
  const page = await ask<Page<ListItem>>(`/api/lists/${encodeURIComponent(id)}/items?${query}`, {
    signal: signal ?? null,
  });
  const items = page.items.map((item) => ({ ...item, id: item.feature.id }));
  return { items, next: page.next ?? null };
}

export interface NewList {
  name: string;
  description?: string;
  shared?: boolean;
  search?: Record<string, string | string[]> | null;
  features?: string[];
}

export function makeList(list: NewList): Promise<FeatureList> {
  return ask("/api/lists", withBody("POST", list));
}

export function changeList(list: FeatureList, changes: Partial<NewList>): Promise<FeatureList> {
  const init = withBody("PATCH", changes);
  const headers = { ...(init.headers as Record<string, string>), "If-Match": `"${list.version}"` };
  return ask(`/api/lists/${list.id}`, { ...init, headers });
}

export async function deleteList(id: number): Promise<void> {
  await answer(`/api/lists/${id}`, { method: "DELETE" });
}

export function addToList(id: number, feature: string): Promise<Schemas["AdditionRead"]> {
  return ask(`/api/lists/${id}/items`, withBody("POST", { features: [feature] }));
}

async function changeItem(id: number, what: string, body: object): Promise<void> {
  // Outlives the page: a note is sent when its field is left, often because the page is left.
  const init = { ...withBody("POST", body), keepalive: true };
  await answer(`/api/lists/${id}/items/${what}`, init);
}

export function moveItem(id: number, feature: string, after: string | null): Promise<void> {
  return changeItem(id, "move", { feature, after });
}

export function noteItem(id: number, feature: string, note: string): Promise<void> {
  return changeItem(id, "note", { feature, note });
}

export function removeItem(id: number, feature: string): Promise<void> {
  return changeItem(id, "remove", { feature });
}

/** The search that the address of the search page holds, to be kept; null without a query. */
export function searchIn(params: URLSearchParams): NewList["search"] {
  if (!params.get("q")?.trim()) return null;
  const kept: Record<string, string | string[]> = {};
  for (const name of new Set(params.keys())) {
    const values = params.getAll(name);
    const [only] = values;
    kept[name] = values.length === 1 && only !== undefined ? only : values;
  }
  return kept;
}

/** The address at which a kept search is asked again. */
export function searchAddress(search: Record<string, unknown>): string {
  const pairs = Object.entries(search).flatMap(([name, value]) =>
    [value].flat().map((one) => [name, String(one)]),
  );
  return `/?${new URLSearchParams(pairs)}`;
}

/** Where an item goes that is moved by so many places: behind which other one; null: first. */
export function placeAfter(ids: string[], id: string, by: -1 | 1): string | null | undefined {
  const here = ids.indexOf(id);
  const there = here + by;
  if (here < 0 || there < 0 || there >= ids.length) return undefined;
  return by > 0 ? (ids[there] ?? null) : (ids[there - 1] ?? null);
}
