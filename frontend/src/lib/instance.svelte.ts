/** What the instance holds and does; shared by the header and the pages. */
import { Answer } from "./answer.svelte";
import { getStatus, listReleases, type Page, type Release, type Status } from "./client";

export const status = new Answer<Status>();
export const releases = new Answer<Page<Release>>();

export function loadStatus(): Promise<void> {
  return status.load(getStatus);
}

export function loadReleases(): Promise<void> {
  return releases.load(listReleases);
}
