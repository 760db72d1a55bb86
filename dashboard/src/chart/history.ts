import { signal } from "@preact/signals";
import { ask, Refusal } from "../api/http";
import type { Candle, Gap } from "../api/types";
import { Source } from "../live/source";
import { Bars } from "./bars";
import type { Interval } from "./intervals";

const FIRST = 600; // candles at first: more than a wide screen has room for
const PAGE = 1_000; // candles of each step back
const MOST = 5_000; // that the server gives in one answer, for what was missed
const WAIT = 2_000; // ms until asking again, where the server does not say

/** What became of the question for candles; the stream may bring the first one at any time. */
export type State = "loading" | "shown" | "empty" | "unknown" | "refused";

export interface Listener {
  replaced: () => void; // many came at once
  changed: (bar: Candle, how: "newest" | "inside") => void;
}

/**
 * The candles of a symbol, past and to come.
 *
 * The stream is opened first; with its `welcome` (the first, and after each lost connection) we ask for what is not known
 * for certain, so nothing closes between the two. What comes by both ways is the same candle, taken in once.
 */
export class History {
  readonly bars = new Bars();
  readonly state = signal<State>("loading");
  readonly words = signal(""); // of the server, where it refused
  private begun = false; // whether the newest were asked for; from then on only what is missing is
  private more = true; // whether there may be older ones
  private paging = false;
  private asked = 0; // a later question makes an earlier one void
  private timer = 0;
  private readonly source: Source;
  private readonly path: string;

  constructor(
    symbol: string,
    private readonly interval: Interval,
    private readonly listener: Listener,
  ) {
    this.path = `v1/candles/${encodeURIComponent(symbol)}`;
    this.source = new Source(
      { symbols: symbol, events: "candle", candles: interval },
      {
        state: (state, detail) => state === "waiting" && detail && this.refuse(detail),
        events: {
          welcome: () => void this.fill(),
          candle: (data) => this.take(JSON.parse(data) as Candle),
          gap: (data) => this.onGap(JSON.parse(data) as Gap),
        },
      },
    );
  }

  close(): void {
    this.asked += 1;
    window.clearTimeout(this.timer);
    this.source.close();
  }

  /** Load what was before the oldest, if there is any. */
  async older(): Promise<void> {
    const oldest = this.bars.oldest;
    if (this.paging || !this.more || !oldest) return;
    this.paging = true;
    const asked = this.asked;
    try {
      const found = await this.ask({ end: oldest.start, limit: PAGE });
      if (asked !== this.asked) return;
      this.more = found.length === PAGE;
      if (found.length > 0) this.put(found);
    } catch {
      // scrolling on asks again
    } finally {
      this.paging = false;
    }
  }

  private take(candle: Candle): void {
    const change = this.bars.tell(candle);
    this.state.value = "shown";
    if (change === "inserted") this.listener.replaced();
    else if (change !== "nothing") this.listener.changed(candle, change);
  }

  /** Ask for what is missing: the newest at first, later all from the first bar that was not told as closed. */
  private async fill(): Promise<void> {
    window.clearTimeout(this.timer);
    const asked = ++this.asked;
    try {
      await (this.begun ? this.catchUp(asked) : this.begin(asked));
    } catch (error) {
      if (asked === this.asked) this.failed(error);
    }
  }

  private async begin(asked: number): Promise<void> {
    const found = await this.ask({ limit: FIRST });
    if (asked !== this.asked) return;
    this.begun = true;
    this.more = found.length === FIRST;
    this.put(found);
    if (this.state.value !== "shown") this.state.value = "empty";
  }

  private async catchUp(asked: number): Promise<void> {
    let start = this.bars.open ?? (this.bars.newest?.start ?? 0) + 1;
    for (let full = true; full; ) {
      const found = await this.ask({ start, limit: MOST });
      if (asked !== this.asked) return;
      this.put(found);
      full = found.length === MOST;
      start = (found.at(-1)?.start ?? 0) + 1;
    }
  }

  private put(candles: readonly Candle[]): void {
    this.bars.fill(candles);
    if (this.bars.newest) this.state.value = "shown";
    this.listener.replaced();
  }

  private ask(query: Record<string, number>): Promise<Candle[]> {
    const numbers = Object.entries(query).map(([key, value]) => [key, String(value)]);
    return ask<Candle[]>(`${this.path}?${new URLSearchParams([["interval", this.interval], ...numbers])}`);
  }

  private failed(error: unknown): void {
    const status = error instanceof Refusal ? error.status : 0;
    if (status === 404) this.unknown();
    else if (status === 400 || status === 403) this.refuse((error as Refusal).message);
    else this.timer = window.setTimeout(() => void this.fill(), waitAfter(error));
  }

  /** It has not traded here. The stream tells its first trade. */
  private unknown(): void {
    this.begun = true;
    this.more = false;
    if (this.state.value !== "shown") this.state.value = "unknown";
  }

  private refuse(words: string): void {
    this.words.value = words;
    if (this.state.value !== "shown") this.state.value = "refused";
  }

  /** Ids of another epoch: the history that was shown may be another one, too. */
  private onGap({ reason }: Gap): void {
    if (reason !== "epoch") return; // `welcome` has asked for what was in the gap
    this.bars.clear();
    this.begun = false;
    this.listener.replaced();
    void this.fill();
  }
}

const waitAfter = (error: unknown): number =>
  error instanceof Refusal && error.retryAfter !== null ? error.retryAfter * 1000 : WAIT;
