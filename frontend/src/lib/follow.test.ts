import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ASK_EVERY_MS, follow, type FeedState, type Source } from "./follow";

interface Item {
  id: number;
  last: boolean;
}

class FakeSource implements Source {
  readyState = 0;
  closed = false;
  #listeners = new Map<string, (event: MessageEvent<string>) => void>();

  addEventListener(type: string, listener: (event: MessageEvent<string>) => void): void {
    this.#listeners.set(type, listener);
  }

  close(): void {
    this.closed = true;
    this.readyState = 2;
  }

  send(type: "open" | "error" | "job", data?: Item): void {
    this.#listeners.get(type)?.({ data: JSON.stringify(data) } as MessageEvent<string>);
  }
}

function start(ask: () => Promise<Item[]> = () => Promise.resolve([])) {
  const sources: FakeSource[] = [];
  const items: Item[] = [];
  const states: FeedState[] = [];
  const stop = follow<Item>({
    open: () => {
      const source = new FakeSource();
      sources.push(source);
      return source;
    },
    ask,
    onItem: (item) => items.push(item),
    onState: (state) => states.push(state),
    isLast: (item) => item.last,
  });
  const current = (): FakeSource => sources.at(-1) ?? new FakeSource();
  return { sources, items, states, stop, current };
}

function refuse(source: FakeSource): void {
  source.readyState = 2;
  source.send("error");
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("following", () => {
  it("passes events on until the last one and then closes", () => {
    const feed = start();

    feed.current().send("open");
    feed.current().send("job", { id: 1, last: false });
    feed.current().send("job", { id: 1, last: true });
    feed.current().send("job", { id: 9, last: false });

    expect(feed.items.map((item) => item.id)).toEqual([1, 1]);
    expect(feed.states).toEqual(["connecting", "live", "ended"]);
    expect(feed.current().closed).toBe(true);
  });

  it("leaves a short break to the browser, which reconnects", () => {
    const feed = start();

    feed.current().send("open");
    feed.current().send("error");
    feed.current().send("open");
    feed.current().send("error");

    expect(feed.sources).toHaveLength(1);
    expect(feed.current().closed).toBe(false);
  });

  it("asks again and again where events are refused, until the last item", async () => {
    let asked = 0;
    const feed = start(() => Promise.resolve([{ id: 1, last: ++asked === 3 }]));

    refuse(feed.current());
    await vi.advanceTimersByTimeAsync(ASK_EVERY_MS * 10);

    expect(asked).toBe(3);
    expect(feed.items).toHaveLength(3);
    expect(feed.states.at(-1)).toBe("ended");
  });

  it("says that the line is down and recovers", async () => {
    let isDown = true;
    const feed = start(() => (isDown ? Promise.reject(new Error("down")) : Promise.resolve([])));

    refuse(feed.current());
    await vi.advanceTimersByTimeAsync(ASK_EVERY_MS);
    isDown = false;
    await vi.advanceTimersByTimeAsync(ASK_EVERY_MS);

    expect(feed.states).toContain("lost");
    expect(feed.states.at(-1)).toBe("polling");
  });

  it("tries events again after a while of asking", async () => {
    const feed = start();

    refuse(feed.current());
    await vi.advanceTimersByTimeAsync(ASK_EVERY_MS * 20);
    feed.current().send("open");

    expect(feed.sources).toHaveLength(2);
    expect(feed.states.at(-1)).toBe("live");
  });

  it("is silent once stopped", async () => {
    const feed = start(() => Promise.resolve([{ id: 1, last: false }]));

    feed.stop();
    feed.current().send("job", { id: 1, last: false });
    refuse(feed.current());
    await vi.advanceTimersByTimeAsync(ASK_EVERY_MS * 3);

    expect(feed.items).toEqual([]);
    expect(feed.states).toEqual(["connecting"]);
  });
});
