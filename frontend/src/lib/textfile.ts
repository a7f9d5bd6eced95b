/** Several texts at once: pasted, or from a file. */

/** Each line that says something is a text. */
export function linesOf(text: string): string[] {
  return text.split(/\r\n|\n|\r/).filter((line) => line.trim() !== "");
}

/** The texts of a file: lines of text, or of JSON where it is called so. Raises for what is none. */
export function textsOfFile(name: string, content: string): string[] {
  const lines = linesOf(content);
  if (lines.length === 0)
    throw new Error(`${name} holds no text; give a file with a text per line.`);
  if (!/\.(jsonl|ndjson)$/i.test(name)) return lines;
  return lines.map((line, index) => textOf(line, `Line ${index + 1} of ${name}`));
}

/** A JSON string, or an object with one as its `text`. */
function textOf(line: string, which: string): string {
  let read: unknown;
  try {
    read = JSON.parse(line);
  } catch {
    throw new Error(`${which} is no JSON; give lines such as {"text": "some words"}.`);
  }
  const text = typeof read === "object" && read !== null && "text" in read ? read.text : read;
  if (typeof text === "string" && text !== "") return text;
  throw new Error(`${which} has no text; give lines such as {"text": "some words"}.`);
}
