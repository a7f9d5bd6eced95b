/** Heat-mapped text: how strong a token is drawn, and which part of a context is shown. */

export interface Token {
  text: string;
  activation: number;
}

export interface Context {
  tokens: Token[];
  /** Index into `tokens` of the largest activation. */
  peak: number;
}

/** A stretch of a context, `end` excluded. */
export interface Window {
  start: number;
  end: number;
}

export const LEVELS = 8;

/** A piece of a text for one quiet line, as `TokenText` takes it. */
export interface Excerpt extends Context {
  cutLeft: boolean;
  cutRight: boolean;
}

const graphemes =
  "Segmenter" in Intl ? new Intl.Segmenter(undefined, { granularity: "grapheme" }) : null;
// In ASCII only a carriage return joins what follows.
const PLAIN = /^[\x20-\x7e\n\t]*$/;
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/g;

/** The step of the colour scale, 0 (does not fire) to 8 (the scale's maximum). */
export function level(activation: number, maximum: number): number {
  if (activation <= 0 || maximum <= 0) return 0;
  return Math.min(LEVELS, Math.max(1, Math.ceil((activation / maximum) * LEVELS)));
}

function boundaries(text: string): Set<number> | null {
  if (PLAIN.test(text) || !graphemes) return null;
  const ends = new Set<number>();
  for (const { index, segment } of graphemes.segment(text)) ends.add(index + segment.length);
  return ends;
}

/**
 * Join tokens that split what a reader sees as one character (an accent, a joined emoji, a flag);
 * the joined token has the largest of their activations, as the API does for split code points.
 */
export function joinGraphemes({ tokens, peak }: Context): Context {
  const ends = boundaries(tokens.map((token) => token.text).join(""));
  if (!ends) return { tokens, peak };
  const joined: Token[] = [];
  let open: Token | null = null;
  let offset = 0;
  let movedPeak = 0;
  tokens.forEach((token, index) => {
    offset += token.text.length;
    open = open
      ? {
          text: open.text + token.text,
          activation: Math.max(open.activation, token.activation),
        }
      : { ...token };
    if (index === peak) movedPeak = joined.length;
    if (ends.has(offset) || index === tokens.length - 1) {
      joined.push(open);
      open = null;
    }
  });
  return { tokens: joined, peak: movedPeak };
}

/** Columns a text takes in a fixed-width font. */
export function width(text: string): number {
  return text.length + (text.match(WIDE)?.length ?? 0);
}

/** The tokens around the peak that fit in so many columns before and after it. */
export function around({ tokens, peak }: Context, before: number, after: number): Window {
  let start = peak;
  let end = Math.min(tokens.length, peak + 1);
  let room = before;
  while (start > 0 && (room -= width(tokens[start - 1]?.text ?? "")) >= 0) start -= 1;
  room = after;
  while (end < tokens.length && (room -= width(tokens[end]?.text ?? "")) >= 0) end += 1;
  return { start, end };
}

/** What stands around the peak of a text that may itself be cut. */
export function excerpt(
  text: Context & { cut_left: boolean; cut_right: boolean },
  before: number,
  after: number,
): Excerpt {
  const context = joinGraphemes(text);
  const { start, end } = around(context, before, after);
  return {
    tokens: context.tokens.slice(start, end),
    peak: context.peak - start,
    cutLeft: start > 0 || text.cut_left,
    cutRight: end < context.tokens.length || text.cut_right,
  };
}
