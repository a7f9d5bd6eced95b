/** The preset that is being edited on the Steer page: read, and saved as its next version. */
import { Answer, asApiError } from "./answer.svelte";
import type { ApiError } from "./client";
import {
  changedMeanwhile,
  readPreset,
  readVersion,
  saveVersion,
  type Draft,
  type Preset,
} from "./presets";

export class PresetEdit {
  /** As it was read; its revision is what a version is saved on. */
  preset = $state.raw<Preset | null>(null);
  /** The version that the draft began with. */
  version = $state<number | null>(null);
  error = $state.raw<ApiError | null>(null);
  loading = $state(false);
  busy = $state(false);
  /** The preset as somebody else has made it since it was read. */
  current = $state.raw<Preset | null>(null);
  saveError = $state.raw<ApiError | null>(null);
  /** What was to be saved when somebody else was faster. */
  #unsaved: { draft: Draft; note: string } | null = null;
  #reading = new Answer<{ preset: Preset; draft: Draft }>();

  /** Read a preset, and return what one of its versions says; null: it cannot be read. */
  async open(id: string, number: number | null): Promise<Draft | null> {
    this.close();
    this.loading = true;
    await this.#reading.load(async (signal) => {
      const preset = await readPreset(id, signal);
      const { draft } = await readVersion(id, number ?? preset.version, signal);
      return { preset, draft };
    });
    // Another one was asked for meanwhile, or none any more.
    if (this.#reading.loading || !this.loading) return null;
    this.loading = false;
    this.error = this.#reading.error;
    const read = this.#reading.value;
    if (!read) return null;
    this.preset = read.preset;
    this.version = number ?? read.preset.version;
    return read.draft;
  }

  close(): void {
    this.#reading.clear();
    this.preset = null;
    this.version = null;
    this.error = null;
    this.loading = false;
    this.meet(null);
  }

  /** Save a version; false: somebody else has changed the preset, and is told of in `current`. */
  async save(draft: Draft, note: string): Promise<boolean> {
    const { preset } = this;
    if (!preset) return false;
    this.#unsaved = { draft, note };
    try {
      this.preset = await saveVersion(preset, draft, note);
      this.version = this.preset.version;
      this.meet(null);
      return true;
    } catch (error) {
      const current = changedMeanwhile(error);
      if (!current) throw error;
      this.current = current;
      return false;
    }
  }

  /** Save what was refused after what came meanwhile. */
  async saveAfter(): Promise<boolean> {
    const { current } = this;
    const unsaved = this.#unsaved;
    if (!current || !unsaved) return false;
    this.busy = true;
    this.saveError = null;
    const before = this.preset;
    try {
      this.preset = current;
      this.current = null;
      const isSaved = await this.save(unsaved.draft, unsaved.note);
      // Once more somebody was faster: what came since the reader began is still what is told.
      if (!isSaved) this.preset = before;
      return isSaved;
    } catch (error) {
      this.preset = before;
      this.current = current;
      this.saveError = asApiError(error);
      return false;
    } finally {
      this.busy = false;
    }
  }

  /** Meet a change by somebody else, or put it aside. */
  meet(current: Preset | null): void {
    this.current = current;
    this.saveError = null;
  }
}
