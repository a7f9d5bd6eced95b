/** What one says of single senses: their forms, and what became of what was sent. */
import { fateOf, myVerdict, who, wordings, type Annotating } from "./annotating.svelte";
import type { Label } from "./client";
import type { SenseLabels } from "./reviews";

/** What is being written; of a verdict on that label, whichever is in force by the time it is sent. */
export type SenseForm =
  | { kind: "edit"; ordinal: number }
  | { kind: "reject" | "pin" | "unpin"; ordinal: number; label: Label };

/** The clauses of the rule (`WhyThisLabel` shows it as a whole). */
const WHY = {
  pinned: "pinned by an editor",
  accepted: "more accept it than reject it",
  said: "put in force by a person",
  import: "the best imported",
  llm: "the newest of a model",
  keywords: "the newest of keywords",
};

export class SenseReviewing {
  form = $state.raw<SenseForm | null>(null);
  /** What became of the last one; the page's own line stands above, perhaps out of sight. */
  said = $state("");
  /** Whether what was refused last was sent from here. */
  refused = $state(false);
  readonly annotating: Annotating;

  constructor(annotating: Annotating) {
    this.annotating = annotating;
  }

  /** Whether one may write, and there is something to be written to. */
  get may(): boolean {
    return who.may("annotator") && this.annotating.value !== null;
  }

  /** Which labels speak of a sense. */
  labelsOf(ordinal: number): SenseLabels | null {
    return this.annotating.value?.senses.find((sense) => sense.ordinal === ordinal) ?? null;
  }

  /** Which clause of the rule has put a sense's label in force, in few words and in a sentence. */
  why(ordinal: number): { short: string; sentence: string } | null {
    const id = this.labelsOf(ordinal)?.label_id ?? null;
    const reason = this.annotating.value?.reasons.find(({ label_id }) => label_id === id);
    return reason ? { short: WHY[reason.clause], sentence: reason.sentence } : null;
  }

  /** Whether a machine's label of a sense is out of force, since people reject it. */
  isRejected(ordinal: number): boolean {
    const { reviews = [], labels = [] } = this.annotating.value ?? {};
    const others = this.labelsOf(ordinal)?.others ?? [];
    return labels.some(
      ({ id, source }) =>
        others.includes(id) &&
        source !== "person" &&
        reviews.some(({ label_id, verdict }) => label_id === id && verdict === "reject"),
    );
  }

  open(form: SenseForm): void {
    if (!this.may) return;
    this.said = "";
    this.refused = false;
    this.form = form;
  }

  close = (): void => {
    this.form = null;
  };

  /** A wording was proposed. */
  proposed = (ordinal: number): void => {
    this.said = fateOf(ordinal, this.annotating.value);
  };

  async accept(ordinal: number, label: Label): Promise<void> {
    if (!this.may || myVerdict(this.annotating.value, label.id) === "accept") return;
    await this.#judge(ordinal, label, "accept", null);
  }

  /** Send what was written why. */
  async reason(why: string | null): Promise<void> {
    const form = this.form;
    if (!form || form.kind === "edit") return;
    const { ordinal, label } = form;
    if (form.kind === "reject") await this.#judge(ordinal, label, "reject", why);
    else {
      const pins = form.kind === "pin";
      const body = { label_id: pins ? label.id : null, sense: ordinal, reason: why };
      const done = pins ? `“${label.text}” is pinned.` : `The rule decides for sense ${ordinal}.`;
      await this.#send(ordinal, "pin", body, done);
    }
  }

  async #judge(
    ordinal: number,
    label: Label,
    verdict: "accept" | "reject",
    reason: string | null,
  ): Promise<void> {
    const done = `You ${verdict} “${label.text}” for sense ${ordinal}.`;
    await this.#send(ordinal, "reviews", { label_id: label.id, verdict, reason }, done);
  }

  async #send(sense: number, path: string, body: unknown, done: string): Promise<void> {
    const { annotating } = this;
    this.said = "";
    this.refused = false;
    const rests = (on: Parameters<typeof wordings>[0]): unknown => wordings(on, sense);
    const sent = await annotating.send({ method: "POST", path, body, done, rests, sense });
    // What waits for a decision is shown in a dialog; what was refused stays to be mended.
    if (sent || annotating.conflict) this.form = null;
    if (sent) this.said = done;
    else this.refused = !annotating.conflict;
  }
}
