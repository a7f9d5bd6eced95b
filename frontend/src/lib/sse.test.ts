import { describe, expect, it } from "vitest";
import { EventParser, serverEvents } from "./sse";

const STREAM =
  'event: progress\ndata: {"ahead":2}\n\n: still here\n\nevent: answer\r\ndata: {"text":\r\ndata: "你好"}\r\n\r\n';
const EVENTS = [
  { name: "progress", data: '{"ahead":2}' },
  { name: "answer", data: '{"text":\n"你好"}' },
];

describe("server-sent events", () => {
  it("are the same wherever the stream is cut", () => {
    for (let cut = 0; cut <= STREAM.length; cut += 1) {
      const parser = new EventParser();
      const found = [...parser.push(STREAM.slice(0, cut)), ...parser.push(STREAM.slice(cut))];
      expect(found, `cut at ${cut}`).toEqual(EVENTS);
    }
  });

  it("come one by one from an answer whose characters are cut too", async () => {
    const bytes = new TextEncoder().encode(STREAM);
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
        controller.close();
      },
    });

    const found = [];
    for await (const event of serverEvents(new Response(body))) found.push(event);

    expect(found).toEqual(EVENTS);
  });

  it("that are unfinished or without data are none", () => {
    const parser = new EventParser();

    expect(parser.push("event: empty\n\ndata: never ended")).toEqual([]);
    expect(parser.push("\n\n")).toEqual([{ name: "message", data: "never ended" }]);
  });
});
