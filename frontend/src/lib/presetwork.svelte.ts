/** What is made and measured of a preset: its exports and reports, and the jobs that make them. */
import { untrack } from "svelte";
import { Answer, asApiError } from "./answer.svelte";
import { getJob, type ApiError, type Job } from "./client";
import { listExports, listReports, type PresetExport, type Report } from "./presets";

const MOST_JOBS = 3;

export class PresetWork {
  readonly reports = new Answer<Report[]>();
  readonly exports = new Answer<PresetExport[]>();
  busy = $state(false);
  error = $state.raw<ApiError | null>(null);
  #jobs = $state.raw(new Map<number, Job>());

  /** Follow what is not done yet; to be made while a component is set up. */
  constructor() {
    $effect(() => {
      const unknown = this.#unfinished().filter((id) => !this.#jobs.has(id));
      // Without its job a page says less, and nothing wrong.
      untrack(() => unknown.forEach((id) => void getJob(id).then(this.#take, () => {})));
    });
  }

  load(preset: number): void {
    this.reports.clear();
    this.exports.clear();
    this.error = null;
    void this.reports.load(async (signal) => (await listReports(preset, signal)).items);
    void this.exports.load(async (signal) => (await listExports(preset, signal)).items);
  }

  /** The job behind the newest report of a kind, unless it has found something. */
  jobOf(kind: Report["kind"], version: number): Job | null {
    const newest = (this.reports.value ?? []).find(
      (report) => report.kind === kind && report.version === version,
    );
    return newest && !isFound(newest) ? (this.#jobs.get(newest.job_id) ?? null) : null;
  }

  /** The jobs behind exports that are not done, the newest first. */
  get exportJobs(): Job[] {
    const open = (this.exports.value ?? []).filter(({ sha256 }) => sha256 === null);
    const ids = [...new Set(open.map(({ job_id }) => job_id))].slice(0, MOST_JOBS);
    return ids.flatMap((id) => this.#jobs.get(id) ?? []);
  }

  /** Ask for a job; what was refused is told in `error`. */
  async ask(act: () => Promise<Job>): Promise<boolean> {
    this.busy = true;
    this.error = null;
    try {
      this.#take(await act());
      this.reload();
      return true;
    } catch (error) {
      this.error = asApiError(error);
      return false;
    } finally {
      this.busy = false;
    }
  }

  reload = (): void => {
    this.reports.reload();
    this.exports.reload();
  };

  #unfinished(): number[] {
    const exports = (this.exports.value ?? []).filter(({ sha256 }) => sha256 === null);
    const reports = (this.reports.value ?? []).filter((report) => !isFound(report));
    return [...new Set([...exports, ...reports].map(({ job_id }) => job_id))].slice(
      0,
      2 * MOST_JOBS,
    );
  }

  #take = (job: Job): void => {
    this.#jobs = new Map(this.#jobs).set(job.id, job);
  };
}

function isFound(report: Report): boolean {
  return report.tests !== null || report.pruning !== null;
}
