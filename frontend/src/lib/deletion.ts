/** What pages ask before they delete a corpus or a scan, and how they do it. */
import { ask, type Job, type Schemas } from "./client";

export type Deletion = Schemas["DeletionRead"];
/** A corpus or a scan, as the API's addresses name it. */
export type Doomed = `corpora/${number}` | `scans/${number}`;

export function previewDeletion(doomed: Doomed, signal?: AbortSignal): Promise<Deletion> {
  return ask(`/api/${doomed}/deletion`, { signal: signal ?? null });
}

/** The job that does it. */
export function deleteForGood(doomed: Doomed): Promise<Job> {
  return ask(`/api/${doomed}`, { method: "DELETE" });
}
