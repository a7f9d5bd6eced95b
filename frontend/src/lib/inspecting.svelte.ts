/** One text at a time through the model: waiting for it, its answer, other looks at that. */
import { SvelteMap } from "svelte/reactivity";
import { asApiError } from "./answer.svelte";
import { ApiError } from "./client";
import {
  askInspection,
  cancelInspection,
  findFiring,
  lookAgain,
  type Firing,
  type Inspection,
  type Look,
  type Progress,
  type Question,
  type Written,
} from "./inspect";
import { serverEvents, type ServerEvent } from "./sse";

interface Problem {
  title: string;
  status: number;
  detail: string;
}

export class Inspecting {
  /** Something is asked that runs the model. */
  running = $state(false);
  progress = $state.raw<Progress | null>(null);
  /** What the model has written, with probabilities. */
  written = $state.raw<Written>([]);
  answer = $state.raw<Inspection | null>(null);
  error = $state.raw<ApiError | null>(null);
  cancelled = $state(false);
  /** Another look at the answer is on its way. */
  looking = $state(false);
  lookError = $state.raw<ApiError | null>(null);
  /** Features beside the list that were asked for by name. */
  readonly found = new SvelteMap<string, Firing | null>();
  #controller: AbortController | null = null;
  #look: Look | null = null;

  /** Run a text; `onstart` hears the number that it is kept under. */
  async run(question: Question, look: Look, onstart: (id: number) => void): Promise<void> {
    const controller = this.#begin(look);
    this.running = true;
    try {
      const response = await askInspection(question, look, controller.signal);
      for await (const event of serverEvents(response)) {
        if (this.#controller !== controller) return;
        const isFirst = this.progress === null;
        if (this.#take(event)) return;
        if (isFirst && this.progress) onstart(this.progress.id);
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
  async look(look: Look, id: number | string | null = this.answer?.id ?? null): Promise<void> {
    if (id === null) return;
    const controller = id === this.answer?.id ? this.#again(look) : this.#begin(look);
    this.looking = true;
    try {
      const answer = await lookAgain(id, look, controller.signal);
      if (this.#controller === controller) this.answer = answer;
    } catch (error) {
      if (this.#controller === controller) this.lookError = asApiError(error);
    } finally {
      if (this.#controller === controller) this.looking = false;
    }
  }

  /** The tokens of a feature: of the list, or asked for, and then null until they are known. */
  firingOf(id: string): Firing | null {
    const { firings, features } = this.answer ?? { firings: [], features: [] };
    return firings.find((it) => features[it.feature]?.id === id) ?? this.found.get(id) ?? null;
  }

  /** Ask for the tokens of a feature that is not in the list. */
  async find(id: string): Promise<void> {
    const { answer } = this;
    if (!answer || !this.#look || this.firingOf(id) || this.found.has(id)) return;
    this.found.set(id, null);
    try {
      const firing = await findFiring(answer.id, this.#look, id);
      if (this.answer === answer) this.found.set(id, firing);
    } catch (error) {
      if (this.answer === answer) this.lookError = asApiError(error);
    }
  }

  cancel = (): void => {
    const id = this.progress?.id;
    this.stop();
    this.cancelled = true;
    // The server sees that nobody listens any more; a proxy between might keep that from it.
    if (id !== undefined) void cancelInspection(id).catch(() => {});
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
    this.#reset();
  }

  #begin(look: Look): AbortController {
    this.stop();
    this.#reset();
    return this.#again(look);
  }

  #again(look: Look): AbortController {
    this.#controller?.abort();
    this.#controller = new AbortController();
    this.#look = look;
    this.lookError = null;
    this.found.clear();
    return this.#controller;
  }

  #reset(): void {
    this.progress = null;
    this.written = [];
    this.answer = null;
    this.error = null;
    this.lookError = null;
    this.cancelled = false;
    this.found.clear();
  }

  /** Take an event in; true: it was the last. */
  #take({ name, data }: ServerEvent): boolean {
    if (name === "progress") {
      this.progress = JSON.parse(data) as Progress;
      this.written = this.progress.written;
    } else if (name === "answer") {
      this.answer = JSON.parse(data) as Inspection;
      return true;
    } else if (name === "problem") {
      const { status, title, detail } = JSON.parse(data) as Problem;
      throw new ApiError(status, title, detail);
    }
    return false;
  }
}

function lost(): ApiError {
  return new ApiError(
    0,
    "No answer",
    "The connection to Scopebook was lost before the answer came; check that it runs, then try again.",
  );
}
