/** Server-sent events in the answer to a POST, which an EventSource cannot send. */

export interface ServerEvent {
  name: string;
  data: string;
}

const LINE_END = /\r\n|\n|\r/;

/** Takes a stream in pieces that are cut anywhere, and gives the events that are complete. */
export class EventParser {
  #rest = "";
  #name = "";
  #data: string[] = [];

  push(chunk: string): ServerEvent[] {
    const text = this.#rest + chunk;
    // Whether a line feed belongs to a carriage return at the end, only the next chunk tells.
    const held = text.endsWith("\r") ? 1 : 0;
    const lines = text.slice(0, text.length - held).split(LINE_END);
    this.#rest = (lines.pop() ?? "") + text.slice(text.length - held);
    return lines.flatMap((line) => this.#line(line) ?? []);
  }

  #line(line: string): ServerEvent | null {
    if (line === "") return this.#end();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    // A line that begins with a colon is a comment: its field is empty.
    if (field === "event") this.#name = value;
    if (field === "data") this.#data.push(value);
    return null;
  }

  #end(): ServerEvent | null {
    const event = { name: this.#name || "message", data: this.#data.join("\n") };
    const isEvent = this.#data.length > 0;
    this.#name = "";
    this.#data = [];
    return isEvent ? event : null;
  }
}

/** The events of an answer as they come; leaving the loop ends the connection. */
export async function* serverEvents(response: Response): AsyncGenerator<ServerEvent> {
  if (!response.body) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    // A connection that broke has told why already.
    await reader.cancel().catch(() => {});
  }
}
