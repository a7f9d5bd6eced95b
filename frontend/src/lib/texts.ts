/** Texts and records that people paste or drop, before they are sent. */

export type Cut = "blank" | "lines" | "whole";

/** Cut pasted text into texts; what is empty is none. */
export function cutTexts(text: string, cut: Cut): string[] {
  const plain = text.replace(/\r\n?/g, "\n");
  const parts = cut === "whole" ? [plain] : plain.split(cut === "lines" ? "\n" : /\n[^\S\n]*\n\s*/);
  return parts.map((part) => part.trim()).filter((part) => part !== "");
}

export type Row = Record<string, unknown>;

export interface Records {
  rows: Row[];
  /** What is wrong with the first line that cannot be read; null: nothing. */
  problem: string | null;
}

/** Read JSON lines, or a list of objects as one JSON text. */
export function readRecords(text: string): Records {
  const whole = text.trim();
  if (whole.startsWith("[")) {
    const listed = parsed(whole);
    if (Array.isArray(listed) && listed.every(isObject)) return { rows: listed, problem: null };
  }
  const rows: Row[] = [];
  for (const [place, line] of text.split(/\r\n|\n|\r/).entries()) {
    if (!line.trim()) continue;
    const row = parsed(line);
    if (!isObject(row)) {
      const problem = `Line ${place + 1} is no JSON object: “${start(line)}”; each line holds one, as {"prompt": "…", "response": "…"}.`;
      return { rows, problem };
    }
    rows.push(row);
  }
  return { rows, problem: null };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Row {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function start(line: string): string {
  const plain = line.trim();
  return plain.length > 40 ? `${plain.slice(0, 40)}…` : plain;
}

const LOOKED_AT = 200;

/**
 * The fields that hold text, the most frequent first: of lists of messages all of them together
 * (`messages`) and those of each role (`messages.user`).
 */
export function textFields(rows: Row[]): string[] {
  const counts = new Map<string, number>();
  const add = (name: string): void => void counts.set(name, (counts.get(name) ?? 0) + 1);
  for (const row of rows.slice(0, LOOKED_AT))
    for (const [name, value] of Object.entries(row)) {
      if (typeof value === "string") add(name);
      else if (isMessages(value)) {
        add(name);
        for (const role of new Set(value.map((one) => one.role))) add(`${name}.${role}`);
      }
    }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name);
}

function isMessages(value: unknown): value is { role: string; content: string }[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((one) => isObject(one) && typeof one.role === "string" && "content" in one)
  );
}

/** The fields to begin with: both sides of a dialogue where there are two, else the text. */
export function likelyFields(fields: string[]): string[] {
  const pairs = [
    ["prompt", "response"],
    ["prompt", "completion"],
    ["question", "answer"],
    ["messages.user", "messages.assistant"],
  ];
  const pair = pairs.find((names) => names.every((name) => fields.includes(name)));
  if (pair) return pair;
  const [first] = fields;
  return fields.includes("text") || first === undefined ? ["text"] : [first];
}
