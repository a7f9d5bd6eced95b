/** How a job moves: stages, shards and numbers, as the pages of runs draw them. */
import { isFinal, type Job, type JobState, type Stage, type Step } from "./client";
import { count, percent, seconds } from "./numbers";

export const STATES: JobState[] = [
  "done",
  "running",
  "queued",
  "failed",
  "cancelling",
  "cancelled",
];

/** Neighbouring shards in one state that stand in one row of the grid. */
export interface Bar {
  state: JobState;
  row: number;
  column: number;
  length: number;
}

/** Cut the shards' states at the ends of rows: few bars, however many shards there are. */
export function bars(shards: Job["shards"], columns: number): Bar[] {
  const out: Bar[] = [];
  let at = 0;
  for (const { state, count: amount } of shards ?? []) {
    let left = amount;
    while (left > 0) {
      const column = at % columns;
      const length = Math.min(left, columns - column);
      out.push({ state, row: Math.floor(at / columns), column, length });
      at += length;
      left -= length;
    }
  }
  return out;
}

export function shardCount(shards: Job["shards"]): number {
  return (shards ?? []).reduce((sum, part) => sum + part.count, 0);
}

/** The state of the shard at a place; null beyond the last. */
export function stateAt(shards: Job["shards"], place: number): JobState | null {
  let until = 0;
  for (const part of shards ?? []) {
    until += part.count;
    if (place < until) return part.state;
  }
  return null;
}

/** Shards by state, those of no state left out, in the order of `STATES`. */
export function byState(shards: Job["shards"]): [JobState, number][] {
  const sums = new Map<JobState, number>();
  for (const part of shards ?? []) sums.set(part.state, (sums.get(part.state) ?? 0) + part.count);
  return STATES.filter((state) => sums.has(state)).map((state) => [state, sums.get(state) ?? 0]);
}

/** Side of a cell in pixels: many shards get small ones. */
export function cellSize(shards: number): number {
  return shards <= 200 ? 16 : shards <= 2000 ? 9 : 6;
}

export function isStageDone(stage: Stage): boolean {
  return (stage.states.done ?? 0) === stage.steps;
}

/** The first stage that is not done; null when all are. */
export function currentStage(job: Job): Stage | null {
  return job.stages.find((stage) => !isStageDone(stage)) ?? null;
}

/** Steps that run, failed, or wait for another attempt. */
export function needsALook(step: Step): boolean {
  if (step.state === "queued") return step.attempt > 0 || step.error !== null;
  return step.state === "running" || step.state === "cancelling" || step.state === "failed";
}

/** `41,984 of 100,000`; null for a job that collects nothing. */
export function tokens(job: Job): string | null {
  if (job.tokens_done === null) return null;
  const done = count(job.tokens_done);
  return job.tokens_total === null || job.tokens_total === job.tokens_done
    ? done
    : `${done} of ${count(job.tokens_total)}`;
}

/** At the stage that reads tokens, and not at one before or after it. */
export function isReading(job: Job): boolean {
  const kinds = currentStage(job)?.kinds ?? [];
  return kinds.includes("shard.collect") || kinds.includes("scan.shard");
}

/** `5,210 tokens/s` while tokens are read, the average once the job is over; null if not known. */
export function speed(job: Job): string | null {
  if (job.tokens_per_s === null) return null;
  const words = `${count(Math.round(job.tokens_per_s))} tokens/s`;
  if (isFinal(job.state)) return `${words} on average`;
  return isReading(job) ? words : null;
}

/** For how long somebody worked at it, idle time left out; null before anybody did. */
export function worked(job: Job, now: number): string | null {
  if (!job.working_since) return job.worked_s > 0 ? seconds(job.worked_s) : null;
  const running = Math.max(0, (now - Date.parse(job.working_since)) / 1000);
  return seconds(job.worked_s + running);
}

/**
 * How far a job is: a share of all its stages, or the stage that it ended in. A share would stand
 * beside `0 of 5,000 tokens` and seem to deny it.
 */
export function reached(job: Job): string {
  const here = currentStage(job);
  if (job.state === "done" || !isFinal(job.state) || !here) {
    return percent(Math.floor(job.progress * 100) / 100);
  }
  const place = job.stages.indexOf(here) + 1;
  return `Ended in stage ${place} of ${job.stages.length}, ${lowered(here.title)}`;
}

/** A stage after the one at which the job ended: whatever became of its steps, none began. */
export function isUntouched(stage: Stage, job: Job): boolean {
  const here = currentStage(job);
  return isFinal(job.state) && here !== null && stage.stage > here.stage;
}

/** The state of a job's step in words: of a job that is over nothing is queued any more. */
export function stateWord(state: JobState, ofJob: JobState): string {
  return state === "queued" && isFinal(ofJob) ? "not started" : state;
}

export function timeLeft(job: Job): string | null {
  return job.seconds_left === null ? null : `${seconds(job.seconds_left)} left`;
}

/** `1`, `1, 2`, `20–23` for layers that follow each other. */
export function layerWords(layers: number[]): string {
  const parts: [number, number][] = [];
  for (const layer of [...layers].sort((a, b) => a - b)) {
    const last = parts.at(-1);
    if (last && layer === last[1] + 1) last[1] = layer;
    else parts.push([layer, layer]);
  }
  return parts
    .map(([first, last]) =>
      first === last ? `${first}` : last === first + 1 ? `${first}, ${last}` : `${first}–${last}`,
    )
    .join(", ");
}

/** What happens next, in a sentence; null when the job is over or says so elsewhere. */
export function whatNext(job: Job): string | null {
  const here = currentStage(job);
  switch (job.state) {
    case "done":
      return null;
    case "failed":
      return "Retry does the failed steps again; what is done stays done.";
    case "cancelled":
      return "Retry goes on where it was stopped; what is done stays done.";
    case "cancelling":
      return "The workers stop at their next batch; what is done stays done.";
    case "queued":
      return "It begins as soon as a worker is free.";
    case "running": {
      const next = here ? job.stages[job.stages.indexOf(here) + 1] : undefined;
      if (next) return `Next: ${lowered(next.title)}.`;
      return here ? "This is the last stage." : null;
    }
  }
}

function lowered(words: string): string {
  return words.charAt(0).toLowerCase() + words.slice(1);
}
