import { computed, effect, signal } from "@preact/signals";
import { priceAlerts } from "../alerts/alertStore";
import type { BoardQuote, Candle } from "../api/types";
import { decimalsFor } from "../board/decimals";
import { price, quantity } from "../format/numbers";
import { instruments, paintQueue, quotes } from "../live/marketData";
import { rising, theme } from "../shell/theme";
import { language, words } from "../words";
import { CandleHistory } from "./candleHistory";
import { withQuote } from "./candleSeries";
import { shownIndicators } from "./chartSettings";
import { ComparedCandles } from "./comparedCandles";
import type { IndicatorValue } from "./IndicatorLayer";
import { type Interval, intervalSeconds } from "./intervals";
import { candleInterval, type Pane } from "./panes";
import { Plot, type PriceMark } from "./plot";
import { SessionStarts } from "./sessionStarts";
import { timeFormatFor } from "./timeAxis";

/** The shortest time between two calculations of the newest bar's indicators. */
const INDICATOR_INTERVAL_MS = 250;

/**
 * With shorter bars, one session fills many pages of candles. The average price then starts with the first session
 * whose bars are all loaded.
 */
const MIN_SESSION_INTERVAL_S = 60;

/** A bar and the previous bar. */
export interface PointedBar {
  bar: Candle;
  previous: Candle | undefined;
}

/** One chart. It follows the candle stream, the newest quote, the chosen indicators, the theme and the language. */
export class LiveChart {
  readonly history: CandleHistory;
  readonly symbol: string;
  readonly interval: Interval;
  readonly atEnd = signal(true);
  /** The bar under the crosshair; without a crosshair the newest bar. */
  readonly legend = computed<PointedBar | null>(() => {
    void this.revision.value;
    const start = this.pointedStart.value;
    const candle = this.history.series.barAt(start ?? Number.MAX_SAFE_INTEGER);
    return candle && start === null ? { ...candle, bar: this.newest ?? candle.bar } : candle;
  });
  readonly decimals = computed(() => {
    void [instruments.value, this.revision.value];
    return decimalsFor(
      quotes.get(this.symbol) ?? ({ symbol: this.symbol, last: null, bid: null, ask: null } as BoardQuote),
    );
  });
  /** The values of the indicators at the bar under the crosshair, or at the newest bar. */
  readonly indicatorValues = computed<IndicatorValue[]>(() => {
    void [this.revision.value, shownIndicators.value];
    const start = this.pointedStart.value;
    const index = start === null ? this.bars.length - 1 : this.bars.findLastIndex((bar) => bar.start <= start);
    return this.plot.indicators.valuesAt(index);
  });

  /** The start of the bar under the crosshair. */
  private readonly pointedStart = signal<number | null>(null);
  private readonly prevClose = computed(() => {
    const listed = instruments.value.get(this.symbol)?.prev_close ?? null;
    return this.history.quote.value?.prev_close ?? listed;
  });
  /** The horizontal lines of the chart. */
  private readonly marks = computed<PriceMark[]>(() => {
    const { chart, alerts } = words.value;
    const price = this.prevClose.value;
    const wanted = this.pane.kind === "intraday" || shownIndicators.value.includes("prevClose");
    const previous: PriceMark[] = price !== null && wanted ? [{ price, title: chart.prevClose, kind: "previous" }] : [];
    const lines = priceAlerts.value.filter(({ symbol, on }) => on && symbol === this.symbol);
    return [...previous, ...lines.map(({ price }): PriceMark => ({ price, title: alerts.mark, kind: "alert" }))];
  });
  /** Changes with every change of the candles. */
  private readonly revision = signal(0);
  private readonly plot: Plot;
  private readonly sessions: SessionStarts;
  private readonly compared: ComparedCandles | null;
  /** The bars on the screen. */
  private bars: readonly Candle[] = [];
  private indicatorsAt = 0;
  /** The last price in the quote before the newest quote. */
  private last: number | null;
  private readonly cleanups: (() => void)[];

  constructor(
    box: HTMLElement,
    private readonly pane: Pane,
  ) {
    const { symbol, kind, compare } = pane;
    this.symbol = symbol;
    this.last = quotes.get(symbol)?.last ?? null;
    this.interval = candleInterval(kind);
    this.sessions = new SessionStarts(symbol, () => this.redraw());
    this.compared = compare ? new ComparedCandles(compare, this.interval, () => this.drawCompared()) : null;
    this.history = new CandleHistory(symbol, this.interval, { onReplaced: () => this.redraw(), onBar: this.updateBar });
    this.plot = new Plot(box, kind, {
      onNeedOlder: () => this.loadOlder(),
      onPoint: (start) => {
        this.pointedStart.value = start;
      },
      onAtEnd: (there) => {
        this.atEnd.value = there;
      },
      formatVolume: this.formatVolume,
      indicatorContext: () => ({
        sessionStarts: this.sessions.starts,
        loadedFrom: this.history.loadedFrom,
        chinese: language.peek() === "zh",
      }),
    });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", this.restyle);
    this.cleanups = [
      paintQueue.subscribe((changed) => this.onQuotes(changed)),
      effect(() => {
        void [theme.value, rising.value];
        this.restyle();
      }),
      effect(() => this.plot.setDecimals(this.decimals.value)),
      effect(() => this.showIndicators()),
      effect(() => this.plot.setMarks(this.marks.value)),
      effect(() => this.plot.setBase(this.prevClose.value)),
      () => dark.removeEventListener("change", this.restyle),
    ];
  }

  close(): void {
    cancelAnimationFrame(this.frame);
    this.history.close();
    this.sessions.close();
    this.compared?.close();
    for (const cleanup of this.cleanups) cleanup();
    this.plot.close();
  }

  /** Return the rounded price at a point of the drawing area (in px); null outside of the pane of prices. */
  priceAt(x: number, y: number): number | null {
    const price = this.plot.priceAt(x, y);
    return price === null ? null : Number(price.toFixed(this.decimals.value));
  }

  scrollToNewest(): void {
    this.plot.scrollToNewest();
  }

  /** Apply a key press. Return whether the chart uses the key. */
  handleKey(key: string, shift: boolean): boolean {
    const actions: Record<string, () => void> = {
      ArrowLeft: () => (shift ? this.plot.scroll(-10) : this.plot.moveCrosshair(-1)),
      ArrowRight: () => (shift ? this.plot.scroll(10) : this.plot.moveCrosshair(1)),
      "+": () => this.plot.zoom(1.25),
      // The plus key without shift, on many keyboards.
      "=": () => this.plot.zoom(1.25),
      "-": () => this.plot.zoom(0.8),
      Home: () => this.plot.moveCrosshair(-Infinity),
      End: () => this.plot.scrollToNewest(),
      Escape: () => this.plot.moveCrosshair(null),
    };
    actions[key]?.();
    return key in actions;
  }

  /** Describe the bar under the crosshair for screen readers; "" without a crosshair. */
  describePointed(): string {
    const pointed = this.pointedStart.value === null ? null : this.legend.value;
    if (!pointed) return "";
    const { open, high, low, close, volume } = words.value.chart.legend;
    const { bar } = pointed;
    const show = (value: number): string => price(value, this.decimals.value);
    const prices = [open, show(bar.open), high, show(bar.high), low, show(bar.low), close, show(bar.close)];
    const parts = [...prices, volume, this.formatVolume(bar.volume)].map((part) =>
      typeof part === "string" ? part : part[1],
    );
    return `${timeFormatFor(intervalSeconds[this.interval]).fullLabel(bar.start / 1_000_000)}: ${parts.join(" ")}`;
  }

  private readonly formatVolume = (volume: number): string => quantity(volume, instruments.peek().get(this.symbol));

  /** The newest bar, with the newest price in it. */
  private get newest(): Candle | undefined {
    const bar = this.history.series.newest;
    return bar && withQuote(bar, quotes.get(this.symbol), intervalSeconds[this.interval]);
  }

  private loadOlder(): void {
    const { oldest } = this.history.series;
    if (this.pane.kind === "intraday" && (oldest?.start ?? 0) <= this.sessions.newest) return;
    void this.history.loadOlder();
  }

  private redraw(): void {
    const { all, newest } = this.history.series;
    if (newest) this.coverSession(newest.start);
    this.bars = this.visible(this.newest ? [...all.slice(0, -1), this.newest] : all);
    this.plot.setBars(this.bars);
    this.drawCompared();
    this.revision.value += 1;
  }

  /** Request the starts of the sessions, and the bars of the newest session, if the chart needs them. */
  private coverSession(time: number): void {
    if (this.pane.kind !== "intraday" && !shownIndicators.peek().includes("vwap")) return;
    this.sessions.cover(time);
    const affordable = intervalSeconds[this.interval] >= MIN_SESSION_INTERVAL_S;
    if (affordable && this.sessions.newest > 0 && this.history.loadedFrom > this.sessions.newest) this.loadOlder();
  }

  /** Return the bars to show. An intraday chart shows only the bars of the newest session. */
  private visible(bars: readonly Candle[]): readonly Candle[] {
    return this.pane.kind === "intraday" ? bars.filter(({ start }) => start >= this.sessions.newest) : bars;
  }

  private showIndicators(): void {
    const shown = shownIndicators.value;
    // The average price is a part of every intraday chart.
    const names = this.pane.kind === "intraday" ? [...new Set([...shown, "vwap" as const])] : shown;
    const newest = this.bars.at(-1);
    if (newest) this.coverSession(newest.start);
    const defined = this.pane.kind === "1d" ? names.filter((name) => name !== "vwap") : names;
    this.plot.indicators.show(defined, this.bars);
    this.revision.value = this.revision.peek() + 1;
  }

  private drawCompared(): void {
    this.plot.setCompared(this.compared?.closesFor(this.bars) ?? null);
  }

  private readonly updateBar = (bar: Candle, how: "newest" | "inside"): void => {
    const added = how === "newest" && bar.start !== this.bars.at(-1)?.start;
    const shown = (how === "newest" && this.newest) || bar;
    if (added) this.coverSession(bar.start);
    this.bars = this.withBar(shown, how);
    this.plot.update(this.bars, shown, how);
    const now = performance.now();
    if (added || how === "inside") this.plot.indicators.setBars(this.bars);
    else if (now - this.indicatorsAt > INDICATOR_INTERVAL_MS) {
      this.indicatorsAt = now;
      this.plot.indicators.updateNewest(this.bars);
    }
    if (added) this.drawCompared();
    this.revision.value += 1;
  };

  private withBar(bar: Candle, how: "newest" | "inside"): readonly Candle[] {
    if (how === "inside") return this.visible(this.history.series.all);
    const closed = this.bars.at(-1)?.start === bar.start ? this.bars.slice(0, -1) : this.bars;
    return [...closed, bar];
  }

  private onQuotes(changed: ReadonlySet<string>): void {
    if (this.compared && changed.has(this.compared.symbol)) this.plot.updateCompared(this.compared.newest);
    if (!changed.has(this.symbol)) return;
    const last = quotes.get(this.symbol)?.last ?? null;
    // The market of the symbol begins again at an earlier time.
    if (last === null && this.last !== null && this.newest) this.history.restart();
    this.last = last;
    const bar = this.newest;
    if (bar && !bar.closed) this.updateBar(bar, "newest");
  }

  private readonly restyle = (): void => {
    cancelAnimationFrame(this.frame);
    // The custom properties have their new values in the next frame.
    this.frame = requestAnimationFrame(() => this.plot.restyle());
  };
  private frame = 0;
}
