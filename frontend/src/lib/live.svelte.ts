/** One question at a time that takes the model: waiting for it, its answer, other looks at that. */
import { asApiError } from "./answer.svelte";
import { ApiError } from "./client";
import type { Progress } from "./inspect";
import { serverEvents, type ServerEvent } from "./sse";

/** How one kind of question is put to the API. */
export interface Ways<Question, Look, Read> {
  /** Runs the model; answers by a stream of events. */
  ask: (question: Question, look: Look, signal: AbortSignal) => Promise<Response>;
  /** Looks at a kept answer another way. */
  look: (id: number | string, look: Look, signal: AbortSignal) => Promise<Read>;
  cancel: (id: number) => Promise<void>;
}

export class Live<Question, Look, Read extends { id: number }> {
  /** Something is asked that runs the model. */
  running = $state(false);
  progress = $state.raw<Progress | null>(null);
  answer = $state.raw<Read | null>(null);
  error = $state.raw<ApiError | null>(null);
  cancelled = $state(false);
  /** Another look at the answer is on its way. */
  looking = $state(false);
  lookError = $state.raw<ApiError | null>(null);
  readonly #ways: Ways<Question, Look, Read>;
  #controller: AbortController | null = null;

  constructor(ways: Ways<Question, Look, Read>) {
    this.#ways = ways;
  }

  /** What the model has read is kept under this number, also where a look at it fails. */
  get id(): number | null {
    return this.answer?.id ?? this.progress?.id ?? null;
  }

  /** Run a question. */
  async run(question: Question, look: Look): Promise<void> {
    const controller = this.#begin();
    this.running = true;
    try {
      const response = await this.#ways.ask(question, look, controller.signal);
      for await (const event of serverEvents(response)) {
        if (this.#controller !== controller || this.#take(event)) return;
      }
      throw lost();
    } catch (error) {
      if (this.#controller === controller) {
        this.error = error instanceof TypeError ? lost() : asApiError(error);
      }
    } finally {
      if (this.#controller === controller) this.running = false;
    }
  }

  /** Look another way at the answer, or at the one that is kept under a number. */
  async look(look: Look, id: number | string | null = this.id): Promise<void> {
    if (id === null) return;
    const controller = id === this.id ? this.#again() : this.#begin();
    this.looking = true;
    try {
      const answer = await this.#ways.look(id, look, controller.signal);
      if (this.#controller !== controller) return;
      this.answer = answer;
      this.error = null;
    } catch (error) {
      if (this.#controller === controller) this.lookError = asApiError(error);
    } finally {
      if (this.#controller === controller) this.looking = false;
    }
  }

  cancel = (): void => {
    const id = this.progress?.id;
    this.stop();
    this.cancelled = true;
    // The server sees that nobody listens any more; a proxy between might keep that from it.
    if (id !== undefined) void this.#ways.cancel(id).catch(() => {});
  };

  /** Nobody waits any more. */
  stop(): void {
    this.#controller?.abort();
    this.#controller = null;
    this.running = false;
    this.looking = false;
  }

  clear(): void {
    this.stop();
    this.progress = null;
    this.answer = null;
    this.error = null;
    this.lookError = null;
    this.cancelled = false;
  }

  #begin(): AbortController {
    this.clear();
    return this.#again();
  }

  #again(): AbortController {
    this.#controller?.abort();
    this.#controller = new AbortController();
    this.lookError = null;
    return this.#controller;
  }

  /** Take an event in; true: it was the last. */
  #take({ name, data }: ServerEvent): boolean {
    if (name === "progress") this.progress = JSON.parse(data) as Progress;
    if (name === "problem") {
      const problem = JSON.parse(data) as { status: number; title: string; detail: string };
      throw new ApiError(problem.status, problem.title, problem.detail);
    }
    if (name === "answer") this.answer = JSON.parse(data) as Read;
    return name === "answer";
  }
}

function lost(): ApiError {
  return new ApiError(
    0,
    "No answer",
    "The connection to Scopebook was lost before the answer came; check that it runs, then try again.",
  );
}
