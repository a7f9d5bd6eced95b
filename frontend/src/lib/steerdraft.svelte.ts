/** What is written in the form of a text to be steered, before it is asked. */
import { labelsOf } from "./scans";
import { lacks, newIntervention, numbersOf, type Intervention, type SteerQuestion } from "./steer";

export class SteerDraft {
  text = $state("");
  interventions = $state.raw<Intervention[]>([]);
  // Fields for numbers are null while they are empty.
  tokens = $state<number | null>(40);
  temperature = $state<number | null>(0.8);
  seed = $state<number | null>(1);
  strengths = $state("1");
  prompt = $state<SteerQuestion["prompt"]>("all");
  written = $state(true);
  askedFor = $state("");
  /** Wordings of features, as far as they are known. */
  labels = $state.raw(new Map<string, string>());

  fill(question: SteerQuestion): void {
    this.text = question.text;
    this.interventions = question.interventions;
    this.tokens = question.goOn.tokens;
    this.temperature = question.goOn.temperature;
    this.seed = question.goOn.seed;
    this.strengths = question.strengths.join(", ");
    this.prompt = question.prompt;
    this.written = question.written;
    this.askedFor = question.askedFor;
    void this.name();
  }

  get question(): SteerQuestion {
    return {
      text: this.text,
      interventions: this.interventions,
      goOn: {
        tokens: this.tokens ?? 40,
        temperature: this.temperature ?? 0,
        seed: this.seed ?? 0,
      },
      strengths: numbersOf(this.strengths) ?? [],
      prompt: this.prompt,
      written: this.written,
      askedFor: this.askedFor,
    };
  }

  /** Why it cannot be asked yet; null: it can. */
  get missing(): string | null {
    return lacks(this.question, this.strengths);
  }

  add(feature: string, label: string | null): void {
    if (this.interventions.some((one) => one.feature === feature)) return;
    if (label !== null) this.labels = new Map([...this.labels, [feature, label]]);
    this.interventions = [...this.interventions, newIntervention(feature)];
  }

  change(feature: string, changes: Partial<Intervention>): void {
    this.interventions = this.interventions.map((one) =>
      one.feature === feature ? { ...one, ...changes } : one,
    );
  }

  remove(feature: string): void {
    this.interventions = this.interventions.filter((one) => one.feature !== feature);
  }

  /** Look up wordings that are not known. */
  private async name(): Promise<void> {
    const unknown = this.interventions
      .map(({ feature }) => feature)
      .filter((feature) => !this.labels.has(feature));
    // Features can be steered with without their wordings, so these may fail.
    const more = await labelsOf(unknown).catch(() => new Map<string, string>());
    this.labels = new Map([...this.labels, ...more]);
  }
}
