import { signal } from "@preact/signals";

const MOST = 6; // connections to one server that a browser has for all of its tabs, over HTTP/1.1
const ANSWERS = 250; // ms in which other tabs say what they hold
const AGAIN = 5_000; // ms until tabs that were too many are counted anew: one that crashed does not say that it is gone

/** What a tab tells the others: how many streams it holds, and whether it asks the same of them. */
interface Said {
  from: string;
  streams: number;
  asks: boolean;
}

/** Whether the streams of all tabs leave no connection: then whatever is asked next waits, a new tab too. */
export const crowded = signal(false);

const self = crypto.getRandomValues(new Uint32Array(2)).join("-");
const channel = new BroadcastChannel("tickwire.streams");
const own = new Set<object>();
const others = new Map<string, number>();
let timer = 0;

/** This tab holds a stream, until `letGo`. */
export function hold(stream: object): void {
  own.add(stream);
  count();
}

export function letGo(stream: object): void {
  if (own.delete(stream)) count();
}

function count(): void {
  others.clear();
  tell(true);
  settle();
}

function tell(asks: boolean): void {
  channel.postMessage({ from: self, streams: own.size, asks } satisfies Said);
}

channel.onmessage = ({ data }: MessageEvent<Said>) => {
  others.set(data.from, data.streams);
  if (data.asks) tell(false);
  settle();
};

/** Once all have answered, see what it comes to. */
function settle(): void {
  window.clearTimeout(timer);
  timer = window.setTimeout(() => {
    const held = [...others.values()].reduce((sum, streams) => sum + streams, own.size);
    crowded.value = limited() && held >= MOST;
    if (crowded.value) timer = window.setTimeout(count, AGAIN);
  }, ANSWERS);
}

/** HTTP/2 and 3 carry all streams on one connection. */
function limited(): boolean {
  const [page] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return !/^h[23]/.test(page?.nextHopProtocol ?? "");
}

addEventListener("pagehide", () => {
  own.clear();
  tell(true);
});
