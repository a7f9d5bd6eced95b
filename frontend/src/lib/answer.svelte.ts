/** One question to the API and what became of it. */
import { ApiError } from "./client";

type Ask<T> = (signal: AbortSignal) => Promise<T>;

/** Any failure as an `ApiError`, so that pages draw one kind. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const sentence = error instanceof Error ? error.message : String(error);
  return new ApiError(0, "Unexpected error", sentence);
}

export class Answer<T> {
  /** The last good answer; it stays while a newer one is on its way. */
  value = $state.raw<T | null>(null);
  error = $state.raw<ApiError | null>(null);
  loading = $state(false);
  #controller: AbortController | null = null;
  #ask: Ask<T> | null = null;

  /** Ask; an older question that is still open is dropped. */
  async load(ask: Ask<T>): Promise<void> {
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    this.#ask = ask;
    this.loading = true;
    this.error = null;
    try {
      const value = await ask(controller.signal);
      if (this.#controller === controller) this.value = value;
    } catch (error) {
      if (this.#controller === controller) this.error = asApiError(error);
    } finally {
      if (this.#controller === controller) this.loading = false;
    }
  }

  reload = (): void => {
    if (this.#ask) void this.load(this.#ask);
  };

  clear(): void {
    this.#controller?.abort();
    this.#controller = null;
    this.value = null;
    this.error = null;
    this.loading = false;
  }
}
