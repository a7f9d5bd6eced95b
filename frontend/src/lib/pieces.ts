/** Token text as it is drawn: whitespace and characters without a shape are made visible. */

export type Piece =
  | { kind: "text"; text: string }
  | { kind: "space"; text: string }
  | { kind: "tab"; text: string }
  | { kind: "newline"; text: string }
  /** Stands for a character that has no shape of its own, e.g. `U+200B`. */
  | { kind: "code"; text: string };

const graphemes =
  "Segmenter" in Intl ? new Intl.Segmenter(undefined, { granularity: "grapheme" }) : null;
const SIMPLE = /^[\x21-\x7e]+$/;
const BLANK = /^\s+$/u;
const SHAPELESS = /^[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\ufffd]$/u;
const MARK_FIRST = /^\p{M}/u;

function characters(text: string): string[] {
  return graphemes ? Array.from(graphemes.segment(text), (part) => part.segment) : [...text];
}

function codePoint(character: string): string {
  const value = character.codePointAt(0) ?? 0;
  return `U+${value.toString(16).toUpperCase().padStart(4, "0")}`;
}

function kindOf(character: string): Piece["kind"] {
  if (character === "\t") return "tab";
  if (/^(\r\n|[\n\r\v\f\u0085\u2028\u2029])$/.test(character)) return "newline";
  if (SHAPELESS.test(character)) return "code";
  return BLANK.test(character) ? "space" : "text";
}

function drawn(character: string): Piece {
  const kind = kindOf(character);
  if (kind === "code") return { kind, text: codePoint(character) };
  if (kind === "newline") return { kind, text: "\n" };
  // A mark with nothing to stand on gets the usual dotted circle.
  if (kind === "text" && MARK_FIRST.test(character)) return { kind, text: `\u25cc${character}` };
  return { kind, text: character };
}

/** Neighbours of one kind become one piece; newlines stay apart. */
function gathered(pieces: Piece[]): Piece[] {
  const out: Piece[] = [];
  for (const piece of pieces) {
    const last = out.at(-1);
    if (last && last.kind === piece.kind && (piece.kind === "text" || piece.kind === "space")) {
      last.text += piece.text;
    } else {
      out.push({ ...piece });
    }
  }
  return out;
}

/** A single blank that parts two words needs no mark. */
function ordinary(piece: Piece): boolean {
  return piece.kind === "space" && piece.text === " ";
}

/**
 * Cut a token into what is drawn. `marked` also marks single blanks: for blanks that fire and for
 * tokens that stand alone in a list, where a leading blank is part of what the token is.
 */
export function pieces(text: string, marked: boolean): Piece[] {
  if (SIMPLE.test(text)) return [{ kind: "text", text }];
  const parts = gathered(characters(text).map(drawn));
  return gathered(
    parts.map((part) =>
      !marked && ordinary(part) ? { kind: "text" as const, text: part.text } : part,
    ),
  );
}

/** A text in words, for screen readers and tooltips: `a new line`, `4 blanks`, ` die`. */
export function spoken(text: string): string {
  if (text === "") return "nothing";
  return pieces(text, true)
    .map((piece) => {
      if (piece.kind === "newline") return "↵";
      if (piece.kind === "tab") return "→";
      if (piece.kind === "space") return "·".repeat([...piece.text].length);
      return piece.text;
    })
    .join("");
}
