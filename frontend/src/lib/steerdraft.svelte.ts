/** What is written in the form of a text to be steered, before it is asked. */
import { freeName, moved, renamed, tidied, type Group, type Grouped } from "./groups";
import { withPrompt, type PresetTest } from "./presettests";
import { labelsOf } from "./scans";
import {
  draftLacks,
  lacks,
  newGroup,
  newIntervention,
  numbersOf,
  type Intervention,
  type SteerQuestion,
} from "./steer";

export class SteerDraft {
  text = $state("");
  interventions = $state.raw<Intervention[]>([]);
  groups = $state.raw<Group[]>([]);
  tests = $state.raw<PresetTest[]>([]);
  // Fields for numbers are null while they are empty.
  tokens = $state<number | null>(40);
  temperature = $state<number | null>(0.8);
  seed = $state<number | null>(1);
  strengths = $state("1");
  prompt = $state<SteerQuestion["prompt"]>("all");
  written = $state(true);
  special = $state(true);
  askedFor = $state("");
  /** Wordings of features, as far as they are known. */
  labels = $state.raw(new Map<string, string>());
  /** What was done to features before their group was muted. */
  #before = new Map<string, Intervention>();

  fill(question: SteerQuestion): void {
    this.text = question.text;
    this.interventions = question.interventions;
    this.groups = question.groups;
    this.tests = question.tests;
    this.tokens = question.goOn.tokens;
    this.temperature = question.goOn.temperature;
    this.seed = question.goOn.seed;
    this.strengths = question.strengths.join(", ");
    this.prompt = question.prompt;
    this.written = question.written;
    this.special = question.special;
    this.askedFor = question.askedFor;
    void this.name();
  }

  get question(): SteerQuestion {
    return {
      text: this.text,
      interventions: this.interventions,
      groups: this.groups,
      goOn: {
        tokens: this.tokens ?? 40,
        temperature: this.temperature ?? 0,
        seed: this.seed ?? 0,
      },
      strengths: numbersOf(this.strengths) ?? [],
      prompt: this.prompt,
      written: this.written,
      special: this.special,
      askedFor: this.askedFor,
      tests: this.tests,
    };
  }

  /** Why it cannot be asked yet; null: it can. */
  get missing(): string | null {
    return lacks(this.question, this.strengths);
  }

  /** Why it cannot be kept as a preset yet; null: it can. */
  get unfinished(): string | null {
    return draftLacks(this.question);
  }

  add(feature: string, label: string | null): void {
    if (this.interventions.some((one) => one.feature === feature)) return;
    this.#learn(feature, label);
    this.interventions = [...this.interventions, newIntervention(feature)];
  }

  /** Put features into a group of their own; those that are not steered with yet are added. */
  addGroup(wished: string, features: { id: string; label: string | null }[]): void {
    const name = freeName(this.groups, wished);
    const ids = features.map(({ id }) => id);
    const isNew = ({ feature }: Intervention): boolean =>
      !this.interventions.some((one) => one.feature === feature);
    for (const { id, label } of features) this.#learn(id, label);
    this.interventions = [...this.interventions, ...newGroup(ids, name).filter(isNew)];
    this.move(ids, name);
  }

  move(features: string[], group: string | null): void {
    this.#group(moved(this.#grouped, features, group));
  }

  change(feature: string, changes: Partial<Intervention>): void {
    this.interventions = this.interventions.map((one) =>
      one.feature === feature ? { ...one, ...changes } : one,
    );
  }

  strengthen(name: string, strength: number | null): void {
    this.groups = this.groups.map((group) => (group.name === name ? { name, strength } : group));
  }

  /** Give a group another name, and return it: one that no other group has. */
  rename(name: string, wished: string): string {
    const place = this.groups.findIndex((group) => group.name === name);
    this.#group(renamed(this.#grouped, name, wished));
    return this.groups[place]?.name ?? name;
  }

  /** Mute all of a group, or let its features do again what they did before. */
  mute(name: string, muted: boolean): void {
    this.interventions = this.interventions.map((one) => {
      if (one.group !== name || (one.op === "ablate") === muted) return one;
      if (muted) this.#before.set(one.feature, one);
      const { op, value, unit } = this.#before.get(one.feature) ?? newIntervention(one.feature);
      return muted ? { ...one, op: "ablate" } : { ...one, op, value, unit };
    });
  }

  remove(feature: string): void {
    const left = this.interventions.filter((one) => one.feature !== feature);
    this.#group(tidied({ interventions: left, groups: this.groups }));
  }

  removeGroup(name: string): void {
    const left = this.interventions.filter(({ group }) => group !== name);
    this.#group(tidied({ interventions: left, groups: this.groups }));
  }

  expect(test: PresetTest): void {
    this.tests = [...this.tests, test];
  }

  /** Let a test go on with one prompt more. */
  addPrompt(name: string): void {
    this.tests = withPrompt(this.tests, name, this.text);
  }

  expectNot(name: string): void {
    this.tests = this.tests.filter((test) => test.name !== name);
  }

  #learn(feature: string, label: string | null): void {
    if (label !== null) this.labels = new Map([...this.labels, [feature, label]]);
  }

  get #grouped(): Grouped {
    return { interventions: this.interventions, groups: this.groups };
  }

  #group({ interventions, groups }: Grouped): void {
    this.interventions = interventions;
    this.groups = groups;
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
