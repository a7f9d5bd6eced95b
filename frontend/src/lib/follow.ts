/** Follow something that changes: by server-sent events, and by asking again where they fail. */

export type FeedState = "connecting" | "live" | "polling" | "lost" | "ended";

/** What `follow` needs of an EventSource. */
export interface Source {
  readonly readyState: number;
  addEventListener(type: string, listener: (event: MessageEvent<string>) => void): void;
  close(): void;
}

export interface Following<T> {
  open: () => Source;
  /** The name of the events that carry items. */
  event?: string;
  ask: () => Promise<T[]>;
  onItem: (item: T) => void;
  onState: (state: FeedState) => void;
  /** After an item for which this holds nothing more is to come. */
  isLast: (item: T) => boolean;
}

const CLOSED = 2;
const PATIENCE = 3;
export const ASK_EVERY_MS = 2000;
/** So many questions later the event stream is tried again. */
const RETRY_AFTER = 15;

/** Start following; the returned function stops it. */
export function follow<T>({
  open,
  ask,
  onItem,
  onState,
  isLast,
  event = "job",
}: Following<T>): () => void {
  let source: Source | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;

  function stop(): void {
    stopped = true;
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function take(item: T): void {
    if (stopped) return;
    onItem(item);
    if (isLast(item)) {
      stop();
      onState("ended");
    }
  }

  async function poll(left: number): Promise<void> {
    if (stopped) return;
    if (left === 0) {
      listen();
      return;
    }
    try {
      const items = await ask();
      if (stopped) return;
      onState("polling");
      items.forEach(take);
    } catch {
      // The next question may be answered; meanwhile the page says that the line is down.
      if (!stopped) onState("lost");
    }
    if (!stopped) timer = setTimeout(() => void poll(left - 1), ASK_EVERY_MS);
  }

  function listen(): void {
    let errors = 0;
    const current = open();
    source = current;
    current.addEventListener("open", () => {
      errors = 0;
      if (!stopped) onState("live");
    });
    current.addEventListener(event, ({ data }) => take(JSON.parse(data) as T));
    current.addEventListener("error", () => {
      errors += 1;
      // Unless it is closed the browser reconnects by itself, which is given a few tries.
      if (stopped || (current.readyState !== CLOSED && errors < PATIENCE)) return;
      current.close();
      void poll(RETRY_AFTER);
    });
  }

  onState("connecting");
  listen();
  return stop;
}
