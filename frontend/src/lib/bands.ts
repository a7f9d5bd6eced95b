/** The sample of a feature's firing contexts, cut into quarters by how strongly they fire it. */
import type { Example } from "./client";

export interface Band {
  title: string;
  /** Largest and smallest peak of the band's examples. */
  from: number;
  until: number;
  examples: Example[];
}

const QUARTERS = ["Top quarter", "Upper middle quarter", "Lower middle quarter", "Bottom quarter"];

/** Bands from strong to weak; quarters of which nothing was drawn are left out. */
export function bands(sample: Example[]): Band[] {
  const strongestFirst = [...sample].sort((a, b) => b.activation - a.activation);
  return QUARTERS.flatMap((title, place) => {
    const examples = strongestFirst.filter((example) => quarter(example.quantile ?? 0) === place);
    const [first, last] = [examples[0], examples.at(-1)];
    if (!first || !last) return [];
    return [{ title, from: last.activation, until: first.activation, examples }];
  });
}

/** 0 for the strongest quarter, 3 for the weakest. */
function quarter(quantile: number): number {
  return 3 - Math.min(3, Math.max(0, Math.floor(quantile * 4)));
}
