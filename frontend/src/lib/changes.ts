/** Entries of a feature's history in words. */
import type { Change } from "./reviews";

export interface Told {
  what: string;
  before: string;
  after: string;
}

type Said = Record<string, unknown> | null;

function text(said: Said, name: string): string {
  const value = said?.[name];
  return typeof value === "string" ? value : "";
}

/** The label that an entry is about. */
function named({ label, sense }: Pick<Change, "label" | "sense">): string {
  return `${label ? `“${label}”` : "the label"}${sense === null ? "" : ` of sense ${sense}`}`;
}

/** What somebody did, what was there before, and what is there since. */
export function describe(
  change: Pick<Change, "kind" | "before" | "after" | "label" | "sense">,
): Told {
  const before = change.before as Said;
  const after = change.after as Said;
  const told = (what: string, name = ""): Told => ({
    what,
    before: name ? text(before, name) : "",
    after: name ? text(after, name) : "",
  });
  switch (change.kind) {
    case "review":
      return told(
        after ? `reviewed ${named(change)}:` : `took their verdict on ${named(change)} back`,
        "verdict",
      );
    case "propose":
      return told(
        typeof after?.["sense"] === "number" ? `proposed for sense ${after["sense"]}` : "proposed",
        "text",
      );
    case "pin":
      return told(`${after ? "pinned" : "unpinned"} ${named(change)}`);
    case "second_opinion":
      return told("asked for a second opinion");
    case "comment":
      return told(
        after ? (before ? "changed a comment:" : "commented:") : "took a comment away:",
        "text",
      );
    case "tag":
      return told(after ? "gave the tag" : "took away the tag", "tag");
    case "example":
      return told(after ? "marked an example as off-meaning" : "took the mark off an example");
    case "grouping":
      return told(after ? "parted the senses anew" : "went back to the senses of the machine");
    case "undo":
      return told(change.label ? `undid what was said of ${named(change)}` : "undid an entry");
  }
}
