/** Comments as text with names that they speak to. */

export interface Part {
  text: string;
  /** Whether it names an account. */
  to: boolean;
}

/** Part a comment at the `@name`s of accounts; capitals make no difference. */
export function mentions(text: string, names: string[]): Part[] {
  const known = new Set(names.map((name) => name.toLowerCase()));
  const parts: Part[] = [];
  let from = 0;
  for (const match of text.matchAll(/@([\p{L}\p{N}_][\p{L}\p{N}_.-]*)/gu)) {
    const name = (match[1] ?? "").replace(/[.-]+$/, "");
    if (!known.has(name.toLowerCase())) continue;
    if (match.index > from) parts.push({ text: text.slice(from, match.index), to: false });
    from = match.index + name.length + 1;
    parts.push({ text: text.slice(match.index, from), to: true });
  }
  if (from < text.length) parts.push({ text: text.slice(from), to: false });
  return parts;
}
