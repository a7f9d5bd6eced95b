/** Whether the reader came by a step back or forward, when lists shown before are shown again. */
import type { NavigationType } from "@sveltejs/kit";

let last: NavigationType = "enter";

export function noteNavigation(type: NavigationType): void {
  last = type;
}

export function cameByHistory(): boolean {
  return last === "popstate";
}

/** A filter read from the address: absent and malformed are null. */
export function numberParam(params: URLSearchParams, name: string): number | null {
  const value = params.get(name);
  return value !== null && /^\d+$/.test(value) ? Number(value) : null;
}

/** The address with some parameters changed; empty ones go. */
export function withParams(url: URL, changes: Record<string, string | number | null>): string {
  const params = new URLSearchParams(url.searchParams);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") params.delete(name);
    else params.set(name, String(value));
  }
  const query = params.toString();
  return query ? `${url.pathname}?${query}` : url.pathname;
}

/** Keys are for the page unless the reader is writing or holds a modifier. */
export function isForPage(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return false;
  const target = event.target;
  return !(
    target instanceof Element && target.closest("input, select, textarea, [contenteditable]")
  );
}
