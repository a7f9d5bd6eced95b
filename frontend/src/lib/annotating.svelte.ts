/** What people say of the feature on the page: read, followed live, and written to. */
import { getContext, setContext } from "svelte";
import { asApiError } from "./answer.svelte";
import { ApiError, type Label } from "./client";
import type { FeedState } from "./follow";
import { loadWho, who as everybody } from "./me.svelte";
import {
  getAnnotation,
  watchFeature,
  writeTo,
  type Annotation,
  type Verdict,
  type Write,
} from "./reviews";

/** A change that met another one, with what it was meant for and what is there now. */
export interface Conflict {
  sent: Sending;
  before: Annotation;
  current: Annotation;
}

export interface Sending extends Write {
  /** Said when it is done; perhaps by what came of it. */
  done: string | ((on: Annotation) => string);
  /** What it takes for granted: where that has changed meanwhile, its sender decides anew. */
  rests?: (on: Annotation) => unknown;
  /** The sense that it speaks of; none: the feature. */
  sense?: number | null;
}

/** So often a change that nobody contradicts is sent again upon the newest version. */
const TRIES = 5;

export class Annotating {
  value = $state.raw<Annotation | null>(null);
  error = $state.raw<ApiError | null>(null);
  conflict = $state.raw<Conflict | null>(null);
  present = $state.raw<string[]>([]);
  feed = $state<FeedState>("connecting");
  busy = $state(false);
  /** What was done last, in a sentence. */
  said = $state("");
  id = "";
  #first: Promise<void> = Promise.resolve();
  /** The newest version that was told of; perhaps before the one on the page had come. */
  #told = 0;
  #changed = (): void => {};

  /** Follow a feature until the returned function is called; `changed` is told of every change. */
  follow(id: string, changed: () => void): () => void {
    this.id = id;
    this.value = null;
    this.error = this.conflict = null;
    this.present = [];
    this.said = "";
    this.#changed = changed;
    this.#told = 0;
    this.#first = this.load().then(() => this.#catchUp(id));
    return watchFeature(id, {
      onItem: ({ version, present }) => {
        if (this.id !== id) return;
        this.present = present;
        this.#told = Math.max(this.#told, version);
        this.#catchUp(id);
      },
      onState: (state) => (this.feed = state),
    });
  }

  /** Wait for what is on its way: whether something is there to be written to. */
  async ready(): Promise<boolean> {
    const id = this.id;
    await Promise.all([this.#first, who.ready()]);
    return this.id === id && this.value !== null;
  }

  load = async (): Promise<void> => {
    const id = this.id;
    try {
      this.#take(id, await getAnnotation(id));
    } catch (error) {
      if (this.id === id) this.error = asApiError(error);
    }
  };

  /** Read it again where something newer was told of, once nothing else is on its way. */
  #catchUp(id: string): void {
    if (this.id !== id || !this.value || this.busy) return;
    if (this.#told > this.value.version) void this.#renew(id);
  }

  async #renew(id: string): Promise<void> {
    await this.load();
    if (this.id === id) this.#changed();
  }

  #take(id: string, value: Annotation): void {
    // An answer that was under way while another came is older than what is shown.
    if (this.id === id && value.version >= (this.value?.version ?? 0)) this.value = value;
  }

  /** Make a change; false where it was refused or waits for its sender's decision. */
  async send(sent: Sending): Promise<boolean> {
    const id = this.id;
    let before = this.value;
    if (!before || this.busy) return false;
    this.busy = true;
    this.error = null;
    this.said = "";
    try {
      for (let tries = 1; ; tries += 1) {
        try {
          this.#take(id, await writeTo(id, sent, before.version));
          break;
        } catch (error) {
          const current = currentIn(error);
          if (!current) throw error;
          this.#take(id, current);
          if (tries >= TRIES || contradicts(sent, before, current)) {
            if (this.id === id) this.conflict = { sent, before, current };
            this.#changed();
            return false;
          }
          before = current;
        }
      }
      if (this.id === id && this.value)
        this.said = typeof sent.done === "string" ? sent.done : sent.done(this.value);
      this.#changed();
      return true;
    } catch (error) {
      if (this.id === id) this.error = asApiError(error);
      return false;
    } finally {
      this.busy = false;
      this.#catchUp(this.id);
    }
  }

  /** Send what met another change upon what is there now, perhaps with other words. */
  async sendAnyway(body: unknown): Promise<boolean> {
    const sent = this.conflict?.sent;
    this.conflict = null;
    return sent ? this.send({ ...sent, body }) : false;
  }
}

function currentIn(error: unknown): Annotation | null {
  if (!(error instanceof ApiError) || error.status !== 412) return null;
  return (error.body as { current?: Annotation } | null)?.current ?? null;
}

/** Whether something that a change takes for granted is not as it was. */
export function contradicts(sent: Sending, before: Annotation, current: Annotation): boolean {
  const { rests } = sent;
  return !!rests && JSON.stringify(rests(before)) !== JSON.stringify(rests(current));
}

/** The wording in force of the feature as a whole, or of one of its senses. */
export function inForce(annotation: Annotation | null, sense: number | null = null): Label | null {
  return annotation?.labels.find((label) => label.current && isOf(label, sense)) ?? null;
}

function isOf({ senses }: Label, sense: number | null): boolean {
  return sense === null ? senses.length === 0 : senses.includes(sense);
}

/**
 * Wordings and what stands of them: what a proposal or a verdict takes for granted. Of a sense also
 * which one it is, since its number may be another's by now; what is said of others does not matter.
 */
export function wordings(on: Annotation, sense: number | null = null): unknown {
  const one = sense === null ? null : on.senses.find(({ ordinal }) => ordinal === sense);
  const about = one && [one.label_id, ...one.others];
  const labels = on.labels.filter(({ id, senses }) =>
    sense === null ? senses.length === 0 : (about?.includes(id) ?? false),
  );
  return [
    one?.id,
    labels.map(({ id, text, current }) => [id, text, current]),
    on.reviews
      .filter(({ label_id }) => labels.some(({ id }) => id === label_id))
      .map(({ label_id, author, verdict }) => [label_id, author, verdict]),
    one ? one.pinned : on.pinned,
  ];
}

/** One's own verdict on a label. */
export function myVerdict(annotation: Annotation | null, labelId: number): Verdict | undefined {
  return annotation?.reviews.find(
    (review) => review.label_id === labelId && review.author === who.value?.name,
  )?.verdict;
}

/** What has become of a wording that one has proposed. */
export function fateOf(sense: number | null, on: Annotation | null): string {
  const yours = sense === null ? "Your wording" : `Your wording of sense ${sense}`;
  // The newest stand first.
  const mine = on?.labels.find(
    (it) => it.source === "person" && it.author === who.value?.name && isOf(it, sense),
  );
  if (mine?.current) return `${yours} is in force.`;
  const now = inForce(on, sense);
  const pinned = on?.reasons.some((it) => it.label_id === now?.id && it.clause === "pinned");
  return pinned
    ? `${yours} is proposed; an editor has pinned another one.`
    : `${yours} is proposed; it is in force once somebody else accepts it.`;
}

const KEY = Symbol("annotating");

export function shareAnnotating(annotating: Annotating): void {
  setContext(KEY, annotating);
}

/** That of the page, where it has one. */
export function sharedAnnotating(): Annotating | undefined {
  return getContext<Annotating | undefined>(KEY);
}

/** Who one is here, for what is said of features. */
class Self {
  get value() {
    return everybody.value?.me ?? null;
  }

  load(): void {
    void this.ready();
  }

  /** Wait until it is known; a page may be asking already. */
  async ready(): Promise<void> {
    if (everybody.value) return;
    if (!everybody.loading) await loadWho();
    while (everybody.loading) await new Promise((resolve) => setTimeout(resolve, 30));
  }

  /** Whether one is at least that. */
  may(role: "annotator" | "editor"): boolean {
    return everybody.may(role);
  }
}

export const who = new Self();
