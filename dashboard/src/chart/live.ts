import { computed, effect, signal } from "@preact/signals";
import type { Brief, Candle } from "../api/types";
import { decimalsFor } from "../board/decimals";
import { compact, price } from "../format/numbers";
import { frames, instruments, quotes } from "../live/market";
import { rising, theme } from "../shell/theme";
import { words } from "../words";
import { withQuote } from "./bars";
import { History } from "./history";
import { type Interval, lengths } from "./intervals";
import { Plot } from "./plot";
import { zoneFor } from "./zone";

/** A bar to tell of, and the one before it. */
export interface Pointed {
  bar: Candle;
  before: Candle | undefined;
}

/** The chart of one symbol and interval: its candles, drawn, and kept up with the stream, the newest quote and the theme. */
export class LiveChart {
  readonly history: History;
  readonly atEnd = signal(true);
  /** The bar under the crosshair, or else the newest. */
  readonly legend = computed<Pointed | null>(() => {
    void this.drawn.value;
    const start = this.start.value;
    const found = this.history.bars.at(start ?? Number.MAX_SAFE_INTEGER);
    return found && start === null ? { ...found, bar: this.newest ?? found.bar } : found;
  });
  readonly decimals = computed(() => {
    void [instruments.value, this.drawn.value];
    return decimalsFor(quotes.get(this.symbol) ?? ({ symbol: this.symbol, last: null, bid: null, ask: null } as Brief));
  });
  private readonly start = signal<number | null>(null); // of the bar under the crosshair
  private readonly drawn = signal(0); // grows with every change
  private readonly plot: Plot;
  private readonly ends: (() => void)[];

  constructor(
    box: HTMLElement,
    readonly symbol: string,
    readonly interval: Interval,
  ) {
    this.history = new History(symbol, interval, { replaced: () => this.replace(), changed: this.change });
    this.plot = new Plot(box, interval, {
      older: () => void this.history.older(),
      pointed: (start) => {
        this.start.value = start;
      },
      atEnd: (there) => {
        this.atEnd.value = there;
      },
    });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", this.restyle);
    this.ends = [
      frames.each((changed) => changed.has(symbol) && this.quote()),
      effect(() => {
        void [theme.value, rising.value];
        this.restyle();
      }),
      effect(() => this.plot.round(this.decimals.value)),
      () => dark.removeEventListener("change", this.restyle),
    ];
  }

  close(): void {
    cancelAnimationFrame(this.frame);
    this.history.close();
    for (const end of this.ends) end();
    this.plot.close();
  }

  toEnd(): void {
    this.plot.toEnd();
  }

  /** What a key does to the chart; whether it does anything. */
  key(key: string, shift: boolean): boolean {
    const done: Record<string, () => void> = {
      ArrowLeft: () => (shift ? this.plot.scroll(-10) : this.plot.point(-1)),
      ArrowRight: () => (shift ? this.plot.scroll(10) : this.plot.point(1)),
      "+": () => this.plot.zoom(1.25),
      "=": () => this.plot.zoom(1.25), // the same key, without shift
      "-": () => this.plot.zoom(0.8),
      Home: () => this.plot.point(-Infinity),
      End: () => this.plot.toEnd(),
      Escape: () => this.plot.point(null),
    };
    done[key]?.();
    return key in done;
  }

  /** The bar that keys point at, in words; "" while they point at none. */
  told(): string {
    const pointed = this.start.value === null ? null : this.legend.value;
    if (!pointed) return "";
    const { open, high, low, close, volume } = words.value.chart.legend;
    const { bar } = pointed;
    const shown = (value: number): string => price(value, this.decimals.value);
    const prices = [open, shown(bar.open), high, shown(bar.high), low, shown(bar.low), close, shown(bar.close)];
    const parts = [...prices, volume, compact(bar.volume)].map((part) => (typeof part === "string" ? part : part[1]));
    return `${zoneFor(lengths[this.interval]).full(bar.start / 1_000_000)}: ${parts.join(" ")}`;
  }

  /** The newest bar, with the newest price. */
  private get newest(): Candle | undefined {
    const bar = this.history.bars.newest;
    return bar && withQuote(bar, quotes.get(this.symbol), lengths[this.interval]);
  }

  private replace(): void {
    const { all } = this.history.bars;
    this.plot.set(this.newest ? [...all.slice(0, -1), this.newest] : all);
    this.drawn.value += 1;
  }

  private readonly change = (bar: Candle, how: "newest" | "inside"): void => {
    this.plot.update(this.history.bars.all, (how === "newest" && this.newest) || bar, how);
    this.drawn.value += 1;
  };

  private quote(): void {
    const bar = this.newest;
    if (bar && !bar.closed) this.change(bar, "newest");
  }

  private readonly restyle = (): void => {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.plot.restyle()); // once the style has followed
  };
  private frame = 0;
}
