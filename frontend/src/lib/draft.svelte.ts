/** What is written in the form of a text to be run, before it is asked. */
import type { Question, Turn } from "./inspect";

const TOKENS = 24;

export class Draft {
  release = $state("");
  /** Null: all of the release. */
  layers = $state.raw<number[] | null>(null);
  isChat = $state(false);
  text = $state("");
  turns = $state.raw<Turn[]>([{ role: "user", content: "" }]);
  thinking = $state<boolean | null>(null);
  goesOn = $state(false);
  // Fields for numbers are null while they are empty.
  tokens = $state<number | null>(TOKENS);
  temperature = $state<number | null>(0);
  seed = $state<number | null>(0);

  fill(question: Question): void {
    if (question.release) this.release = question.release;
    this.layers = question.layers;
    this.isChat = question.turns !== null;
    if (question.turns) this.turns = question.turns;
    else this.text = question.text;
    this.thinking = question.thinking;
    this.goesOn = question.goOn !== null;
    this.tokens = question.goOn?.tokens ?? TOKENS;
    this.temperature = question.goOn?.temperature ?? 0;
    this.seed = question.goOn?.seed ?? 0;
  }

  get question(): Question {
    return {
      release: this.release,
      layers: this.layers,
      text: this.isChat ? "" : this.text,
      turns: this.isChat ? this.turns : null,
      thinking: this.isChat ? this.thinking : null,
      goOn: this.goesOn
        ? {
            tokens: this.tokens ?? TOKENS,
            temperature: this.temperature ?? 0,
            seed: this.seed ?? 0,
          }
        : null,
    };
  }
}
