declare module "svelte/elements" {
  interface HTMLAttributes<T> {
    // ARIA 1.3; Svelte's types stop at 1.2.
    "aria-description"?: string | undefined;
  }
}

export {};
