import {
  type AutoscaleInfo,
  BaselineSeries,
  CandlestickSeries,
  ColorType,
  CrosshairMode,
  createChartEx,
  type DeepPartial,
  HistogramSeries,
  type IChartApiBase,
  type IPriceLine,
  type ISeriesApi,
  LineSeries,
  LineStyle,
  type MouseEventParams,
  PriceScaleMode,
  type TickMarkType,
  type Time,
  type TimeChartOptions,
  type UTCTimestamp,
} from "lightweight-charts";
import type { Candle } from "../api/types";
import { changeRate } from "../format/decimals";
import { percent, price } from "../format/numbers";
import { type Colours, colours, withOpacity } from "./colours";
import { IndicatorLayer } from "./IndicatorLayer";
import type { IndicatorContext } from "./indicatorLines";
import { intervalSeconds } from "./intervals";
import { type ChartKind, candleInterval } from "./panes";
import { timeFormatFor, ZonedTimeAxis } from "./timeAxis";

/** Older candles are loaded when fewer than this number of bars are left of the visible bars. */
const LOAD_OLDER_MARGIN = 40;
/** The empty space at the right, in bars. */
const RIGHT_MARGIN = 6;
/** The initial width of a bar. */
const BAR_SPACING_PX = 8;
/** The chart counts as scrolled to the end while at most this many bars are hidden. */
const END_TOLERANCE = 2;

export interface PlotCallbacks {
  onNeedOlder: () => void;
  onPoint: (start: number | null) => void; // the start (microseconds) of the bar under the crosshair
  onAtEnd: (there: boolean) => void;
  formatVolume: (volume: number) => string;
  /** Return the values that indicators need besides the bars. */
  indicatorContext: () => IndicatorContext;
}

/** A horizontal line at a price, with its text on the price scale. */
export interface PriceMark {
  price: number;
  title: string;
  kind: "previous" | "alert";
}

/**
 * A pane of prices above a pane of volume, and panes of indicators below.
 *
 * Prices are candles, or a line around the previous close with a second scale in percent. Only this file, IndicatorLayer.ts
 * and timeAxis.ts depend on the charting library.
 */
export class Plot {
  readonly indicators: IndicatorLayer;
  private readonly chart: IChartApiBase<Time>;
  private readonly main: ISeriesApi<"Candlestick" | "Baseline", Time>;
  /** The invisible series that the scale in percent belongs to. */
  private readonly percentScale: ISeriesApi<"Line", Time> | null;
  private readonly volume: ISeriesApi<"Histogram", Time>;
  private compared: ISeriesApi<"Line", Time> | null = null;
  private marks: { mark: PriceMark; line: IPriceLine }[] = [];
  private colours: Colours;
  private bars: readonly Candle[] = [];
  /** The previous close, the middle of the intraday chart. */
  private base: number | null = null;
  /** The index of the bar under the crosshair. */
  private crosshairIndex: number | null = null;

  constructor(
    private readonly box: HTMLElement,
    private readonly kind: ChartKind,
    private readonly callbacks: PlotCallbacks,
  ) {
    this.colours = colours(box);
    const interval = intervalSeconds[candleInterval(kind)];
    const zone = timeFormatFor(interval);
    // The library's generic options type lacks the options of a time axis.
    const options: DeepPartial<TimeChartOptions> = {
      autoSize: true,
      // The logo adds a <style> element, which the Content-Security-Policy forbids. ChartView shows the link that the
      // licence requires.
      layout: { attributionLogo: false, fontFamily: getComputedStyle(box).fontFamily, fontSize: 12 },
      crosshair: { mode: CrosshairMode.Normal },
      leftPriceScale: { visible: kind === "intraday" },
      timeScale: {
        timeVisible: true,
        secondsVisible: interval < 60,
        rightOffset: kind === "intraday" ? 0 : RIGHT_MARGIN,
        barSpacing: BAR_SPACING_PX,
        // A whole day of minutes fits into a phone.
        minBarSpacing: 0.1,
        tickMarkFormatter: (time: Time, type: TickMarkType) => zone.tickLabel(time as number, type),
      },
      localization: { timeFormatter: (time: Time) => zone.fullLabel(time as number) },
    };
    this.chart = createChartEx<Time, ZonedTimeAxis>(box, new ZonedTimeAxis(zone), options);
    this.main = this.addMainSeries();
    this.percentScale = kind === "intraday" ? this.addPercentScale() : null;
    const volumes = { type: "custom", minMove: 1, formatter: callbacks.formatVolume } as const;
    this.volume = this.chart.addSeries(
      HistogramSeries,
      { priceFormat: volumes, priceLineVisible: false, lastValueVisible: false },
      1,
    );
    const [above, beneath] = this.chart.panes();
    above?.setStretchFactor(4);
    beneath?.setStretchFactor(1);
    this.indicators = new IndicatorLayer(this.chart, callbacks.indicatorContext, this.colours);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(this.onRange);
    this.chart.subscribeCrosshairMove(this.onCrosshair);
    this.restyle();
  }

  close(): void {
    this.chart.remove();
  }

  /** Show these bars, oldest first. The visible range stays. */
  setBars(bars: readonly Candle[]): void {
    this.bars = bars;
    this.main.setData(bars.map(this.mainBar));
    this.percentScale?.setData(bars.map(closePoint));
    this.volume.setData(bars.map(this.volumeBar));
    this.indicators.setBars(bars);
    if (this.kind === "intraday") this.chart.timeScale().fitContent();
  }

  /** Redraw one bar: the newest, or one inside the series. `bars` are all bars. */
  update(bars: readonly Candle[], bar: Candle, how: "newest" | "inside"): void {
    this.bars = bars;
    this.main.update(this.mainBar(bar), how === "inside");
    this.percentScale?.update(closePoint(bar), how === "inside");
    this.volume.update(this.volumeBar(bar), how === "inside");
  }

  /** Apply the current colours of the style sheet. */
  restyle(): void {
    this.colours = colours(this.box);
    const { ground, text, muted, line, accent } = this.colours;
    this.chart.applyOptions({
      layout: {
        background: { type: ColorType.Solid, color: ground },
        textColor: muted,
        panes: { separatorColor: line, separatorHoverColor: line },
      },
      grid: {
        vertLines: { color: line, style: LineStyle.Dotted },
        horzLines: { color: line, style: LineStyle.Dotted },
      },
      crosshair: {
        vertLine: { color: muted, labelBackgroundColor: accent },
        horzLine: { color: muted, labelBackgroundColor: accent },
      },
      timeScale: { borderColor: line },
      rightPriceScale: { borderColor: line, textColor: text },
      leftPriceScale: { borderColor: line, textColor: text },
    });
    this.main.applyOptions(this.mainColours());
    this.percentScale?.applyOptions({ color: muted });
    this.compared?.applyOptions({ color: this.colours.series[1] ?? accent });
    this.volume.setData(this.bars.map(this.volumeBar));
    this.indicators.restyle(this.colours, this.bars);
    this.setMarks(this.marks.map(({ mark }) => mark));
  }

  /** Set the number of decimals of prices. */
  setDecimals(decimals: number): void {
    const formatter = (value: number): string => price(value, decimals);
    this.main.applyOptions({ priceFormat: { type: "custom", minMove: 10 ** -decimals, formatter } });
    this.indicators.setDecimals(decimals);
  }

  /** Set the previous close, the middle of the intraday chart. */
  setBase(base: number | null): void {
    if (base === this.base) return;
    this.base = base;
    if (this.kind === "intraday" && base !== null)
      this.main.applyOptions({ baseValue: { type: "price", price: base } });
  }

  /** Draw the closes of another symbol, one for each bar, and show prices in percent; null ends the comparison. */
  setCompared(closes: readonly (number | null)[] | null): void {
    if (closes === null) {
      if (this.compared) this.chart.removeSeries(this.compared);
      this.compared = null;
    } else {
      this.compared ??= this.chart.addSeries(LineSeries, {
        color: this.colours.series[1] ?? this.colours.accent,
        lineWidth: 2,
        priceLineVisible: false,
      });
      this.compared.setData(this.bars.map((bar, index) => pointAt(bar, closes[index])));
    }
    const mode = closes === null ? PriceScaleMode.Normal : PriceScaleMode.Percentage;
    this.chart.priceScale("right").applyOptions({ mode });
  }

  /** Draw the newest close of the other symbol. */
  updateCompared(close: number | null): void {
    const bar = this.bars.at(-1);
    if (bar) this.compared?.update(pointAt(bar, close));
  }

  /** Draw horizontal lines at some prices, and no others. */
  setMarks(marks: readonly PriceMark[]): void {
    for (const { line } of this.marks) this.main.removePriceLine(line);
    this.marks = marks.map((mark) => {
      const color = mark.kind === "alert" ? this.colours.accent : this.colours.muted;
      const options = {
        price: mark.price,
        color,
        title: mark.title,
        lineWidth: 1,
        lineStyle: LineStyle.Dashed,
      } as const;
      return { mark, line: this.main.createPriceLine(options) };
    });
  }

  /** Return the price at a point of the drawing area (in px); null outside of the pane of prices. */
  priceAt(x: number, y: number): number | null {
    const height = this.chart.panes()[0]?.getHeight() ?? 0;
    const left = this.percentScale ? this.chart.priceScale("left").width() : 0;
    const right = left + this.chart.timeScale().width();
    return y < 0 || y > height || x < left || x > right ? null : this.main.coordinateToPrice(y);
  }

  scrollToNewest(): void {
    this.moveCrosshair(null);
    this.chart.timeScale().scrollToPosition(RIGHT_MARGIN, false);
  }

  /** Zoom in (above 1) or out around the right edge. */
  zoom(by: number): void {
    const scale = this.chart.timeScale();
    const spacing = scale.options().barSpacing * by;
    scale.applyOptions({ barSpacing: Math.min(60, Math.max(0.5, spacing)) });
  }

  scroll(bars: number): void {
    const scale = this.chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  /**
   * Move the crosshair by a number of bars. If there is no crosshair, show it at the newest bar. Null removes the
   * crosshair.
   */
  moveCrosshair(step: number | null): void {
    if (step === null) {
      this.chart.clearCrosshairPosition();
      this.callbacks.onPoint(null);
      return;
    }
    const end = this.bars.length - 1;
    const from = this.crosshairIndex ?? end - Math.max(-1, step);
    this.crosshairIndex = Math.min(end, Math.max(0, from + step));
    const bar = this.bars[this.crosshairIndex];
    if (!bar) return;
    this.scrollIntoView(this.crosshairIndex);
    this.chart.setCrosshairPosition(bar.close, seconds(bar), this.main);
    // The library reports the move only with the next frame.
    this.callbacks.onPoint(bar.start);
  }

  private scrollIntoView(at: number): void {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (!range) return;
    if (at < range.from + 1) this.scroll(at - range.from - 5);
    else if (at > range.to - 1) this.scroll(at - range.to + 5);
  }

  private addMainSeries(): ISeriesApi<"Candlestick" | "Baseline", Time> {
    if (this.kind !== "intraday") return this.chart.addSeries(CandlestickSeries, { borderVisible: false });
    return this.chart.addSeries(BaselineSeries, { lineWidth: 2, autoscaleInfoProvider: this.symmetricRange });
  }

  private addPercentScale(): ISeriesApi<"Line", Time> {
    const formatter = (value: number): string => percent(this.base === null ? null : changeRate(this.base, value));
    return this.chart.addSeries(LineSeries, {
      priceScaleId: "left",
      lineVisible: false,
      crosshairMarkerVisible: false,
      priceLineVisible: false,
      autoscaleInfoProvider: this.symmetricRange,
      priceFormat: { type: "custom", minMove: 1e-9, formatter },
    });
  }

  /** The range of the intraday chart: the previous close is in the middle. */
  private readonly symmetricRange = (original: () => AutoscaleInfo | null): AutoscaleInfo | null => {
    const { base } = this;
    const moves =
      base === null ? [] : this.bars.flatMap(({ high, low }) => [Math.abs(high - base), Math.abs(low - base)]);
    const move = moves.reduce((most, each) => Math.max(most, each), 0);
    if (base === null || move === 0) return original();
    return { priceRange: { minValue: base - move, maxValue: base + move } };
  };

  private mainColours() {
    const { up, down, upFaint, downFaint } = this.colours;
    if (this.kind !== "intraday") return { upColor: up, downColor: down, wickUpColor: up, wickDownColor: down };
    return {
      topLineColor: up,
      bottomLineColor: down,
      topFillColor1: upFaint,
      topFillColor2: withOpacity(up, 0),
      bottomFillColor1: withOpacity(down, 0),
      bottomFillColor2: downFaint,
    };
  }

  private readonly mainBar = (bar: Candle) => (this.kind === "intraday" ? closePoint(bar) : candleBar(bar));

  private readonly volumeBar = (bar: Candle) => ({
    time: seconds(bar),
    value: bar.volume,
    color: bar.close >= bar.open ? this.colours.upFaint : this.colours.downFaint,
  });

  private readonly onRange = (range: { from: number; to: number } | null): void => {
    if (!range || this.bars.length === 0) return;
    this.callbacks.onAtEnd(range.to >= this.bars.length - 1 - END_TOLERANCE);
    if (range.from < LOAD_OLDER_MARGIN) this.callbacks.onNeedOlder();
  };

  private readonly onCrosshair = ({ time, logical }: MouseEventParams<Time>): void => {
    this.crosshairIndex = logical === undefined ? null : Math.round(logical);
    this.callbacks.onPoint(time === undefined ? null : (time as number) * 1_000_000);
  };
}

const closePoint = (bar: Candle) => ({ time: seconds(bar), value: bar.close });
const pointAt = (bar: Candle, value: number | null | undefined) =>
  value == null ? { time: seconds(bar) } : { time: seconds(bar), value };
const seconds = (bar: Candle) => (bar.start / 1_000_000) as UTCTimestamp;
const candleBar = ({ open, high, low, close, ...bar }: Candle) => ({
  time: seconds(bar as Candle),
  open,
  high,
  low,
  close,
});
