/** A list that grows page by page, and is still there when the reader comes back to it. */
import { asApiError } from "./answer.svelte";
import type { ApiError, Page } from "./client";

type AskPage<T> = (cursor: string | null, signal: AbortSignal) => Promise<Page<T>>;

interface Kept {
  items: unknown[];
  next: string | null;
}

const KEEP = 12;
/** The last lists by question. Only a step back in history looks here. */
const kept = new Map<string, Kept>();

export class Listing<T extends { id: string | number }> {
  items = $state.raw<T[]>([]);
  next = $state<string | null>(null);
  error = $state.raw<ApiError | null>(null);
  loading = $state(false);
  /** The question that `items` answers; null before the first answer. */
  answered = $state<string | null>(null);
  #controller: AbortController | null = null;
  #ask: AskPage<T> | null = null;
  #key = "";

  /** Ask for the first page; `recall` first looks among the lists that were shown before. */
  async load(key: string, ask: AskPage<T>, { recall = false } = {}): Promise<void> {
    this.#ask = ask;
    this.#key = key;
    const known = recall ? kept.get(key) : undefined;
    if (known) {
      this.#controller?.abort();
      this.loading = false;
      this.error = null;
      this.#show(known.items as T[], known.next);
      return;
    }
    await this.#fetch(null);
  }

  more = (): void => {
    if (this.next && !this.loading) void this.#fetch(this.next);
  };

  reload = (): void => {
    void this.#fetch(null);
  };

  /** Try again what failed: the next page if there is a first one, otherwise everything. */
  retry = (): void => {
    void this.#fetch(this.answered === this.#key ? this.next : null);
  };

  clear(): void {
    this.#controller?.abort();
    this.#controller = null;
    this.items = [];
    this.next = null;
    this.error = null;
    this.loading = false;
    this.answered = null;
  }

  /** A list that changes between two pages may repeat an item; it is shown once. */
  #extended(items: T[]): T[] {
    const known = new Set(this.items.map((item) => item.id));
    return [...this.items, ...items.filter((item) => !known.has(item.id))];
  }

  #show(items: T[], next: string | null): void {
    this.items = items;
    this.next = next;
    this.answered = this.#key;
    kept.delete(this.#key);
    kept.set(this.#key, { items, next });
    const oldest = kept.keys().next().value;
    if (kept.size > KEEP && oldest !== undefined) kept.delete(oldest);
  }

  async #fetch(cursor: string | null): Promise<void> {
    if (!this.#ask) return;
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    this.loading = true;
    this.error = null;
    try {
      const page = await this.#ask(cursor, controller.signal);
      if (this.#controller !== controller) return;
      this.#show(cursor ? this.#extended(page.items) : page.items, page.next ?? null);
    } catch (error) {
      if (this.#controller === controller) this.error = asApiError(error);
    } finally {
      if (this.#controller === controller) this.loading = false;
    }
  }
}
