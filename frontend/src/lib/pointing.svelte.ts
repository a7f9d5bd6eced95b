/** The feature that a reader points at, by its id: texts that stand side by side share one. */
export class Pointing {
  hovered = $state<string | null>(null);
  /** Stays lit when the pointer leaves. */
  kept = $state<string | null>(null);

  get feature(): string | null {
    return this.hovered ?? this.kept;
  }

  leave = (): void => {
    this.hovered = null;
  };

  keep(id: string): void {
    this.kept = this.kept === id ? null : id;
  }

  clear(): void {
    this.hovered = null;
    this.kept = null;
  }
}
