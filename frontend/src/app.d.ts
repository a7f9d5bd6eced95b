declare module "svelte/elements" {
  interface HTMLAttributes<T> {
    // ARIA 1.3; Svelte's types stop at 1.2.
    "aria-description"?: string | undefined;
  }
}

declare global {
  namespace App {
    interface PageState {
      /** Records that could not be read when a scan was asked for, in sentences. */
      leftOut?: string[];
    }
  }
}

export {};
