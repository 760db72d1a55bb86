import {
  CandlestickSeries,
  ColorType,
  CrosshairMode,
  createChartEx,
  type DeepPartial,
  HistogramSeries,
  type IChartApiBase,
  type ISeriesApi,
  LineStyle,
  type MouseEventParams,
  type TickMarkType,
  type Time,
  type TimeChartOptions,
  type UTCTimestamp,
} from "lightweight-charts";
import type { Candle } from "../api/types";
import { compact, price } from "../format/numbers";
import { type Colours, colours } from "./colours";
import { type Interval, lengths } from "./intervals";
import { ZonedAxis, zoneFor } from "./zone";

const NEAR_THE_START = 40; // bars left of what is seen: then older ones are asked for
const ROOM = 6; // bars of room at the right
const SPACING = 8; // px a bar, at first
const AT_THE_END = 2; // bars of which the newest may be out of sight

export interface Ways {
  older: () => void;
  pointed: (start: number | null) => void; // the start (microseconds) of the bar under the crosshair
  atEnd: (there: boolean) => void;
}

/** The drawn chart: a pane of candles, and one of volume beneath. All that knows the library is here and in zone.ts. */
export class Plot {
  private readonly chart: IChartApiBase<Time>;
  private readonly candles: ISeriesApi<"Candlestick", Time>;
  private readonly volume: ISeriesApi<"Histogram", Time>;
  private colours: Colours;
  private shown: readonly Candle[] = [];
  private pointedAt: number | null = null; // the index of the bar that the keyboard points at

  constructor(
    private readonly box: HTMLElement,
    interval: Interval,
    private readonly ways: Ways,
  ) {
    this.colours = colours(box);
    const zone = zoneFor(lengths[interval]);
    // The type of these options does not know what is particular to an axis of times.
    const options: DeepPartial<TimeChartOptions> = {
      autoSize: true,
      // The logo would bring a <style> element, which the page's policy forbids; the link that the licence asks for
      // stands beside the chart.
      layout: { attributionLogo: false, fontFamily: getComputedStyle(box).fontFamily, fontSize: 12 },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: {
        timeVisible: true,
        secondsVisible: lengths[interval] < 60,
        rightOffset: ROOM,
        barSpacing: SPACING,
        tickMarkFormatter: (time: Time, type: TickMarkType) => zone.mark(time as number, type),
      },
      localization: { timeFormatter: (time: Time) => zone.full(time as number) },
    };
    this.chart = createChartEx<Time, ZonedAxis>(box, new ZonedAxis(zone), options);
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: false });
    const volumes = { type: "custom", minMove: 1, formatter: compact } as const;
    this.volume = this.chart.addSeries(
      HistogramSeries,
      { priceFormat: volumes, priceLineVisible: false, lastValueVisible: false },
      1,
    );
    const [above, beneath] = this.chart.panes();
    above?.setStretchFactor(4);
    beneath?.setStretchFactor(1);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(this.onRange);
    this.chart.subscribeCrosshairMove(this.onCrosshair);
    this.restyle();
  }

  close(): void {
    this.chart.remove();
  }

  /** Show these bars, oldest first. What is in sight stays. */
  set(bars: readonly Candle[]): void {
    this.shown = bars;
    this.candles.setData(bars.map(drawn));
    this.volume.setData(bars.map(this.column));
  }

  /** The newest bar as it is now, or one before it. `bars` are all. */
  update(bars: readonly Candle[], bar: Candle, how: "newest" | "inside"): void {
    this.shown = bars;
    this.candles.update(drawn(bar), how === "inside");
    this.volume.update(this.column(bar), how === "inside");
  }

  /** Take the colours of the style as it is now. */
  restyle(): void {
    this.colours = colours(this.box);
    const { ground, text, muted, line, up, down, accent } = this.colours;
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
    });
    this.candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.volume.setData(this.shown.map(this.column));
  }

  /** With so many decimals prices are shown. */
  round(decimals: number): void {
    const formatter = (value: number): string => price(value, decimals);
    this.candles.applyOptions({ priceFormat: { type: "custom", minMove: 10 ** -decimals, formatter } });
  }

  toEnd(): void {
    this.point(null);
    this.chart.timeScale().scrollToPosition(ROOM, false);
  }

  /** Closer (above 1) or farther, about the right edge. */
  zoom(by: number): void {
    const scale = this.chart.timeScale();
    const spacing = scale.options().barSpacing * by;
    scale.applyOptions({ barSpacing: Math.min(60, Math.max(0.5, spacing)) });
  }

  scroll(bars: number): void {
    const scale = this.chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  /** Move the crosshair so many bars on from where it was, or put it on the newest; null takes it away. */
  point(step: number | null): void {
    if (step === null) {
      this.chart.clearCrosshairPosition();
      this.ways.pointed(null);
      return;
    }
    const end = this.shown.length - 1;
    const from = this.pointedAt ?? end - Math.max(-1, step); // at first a step leads to the newest
    this.pointedAt = Math.min(end, Math.max(0, from + step));
    const bar = this.shown[this.pointedAt];
    if (!bar) return;
    this.reveal(this.pointedAt);
    this.chart.setCrosshairPosition(bar.close, seconds(bar), this.candles);
    this.ways.pointed(bar.start); // the library tells of it with the next frame
  }

  private reveal(at: number): void {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (!range) return;
    if (at < range.from + 1) this.scroll(at - range.from - 5);
    else if (at > range.to - 1) this.scroll(at - range.to + 5);
  }

  private readonly column = (bar: Candle) => ({
    time: seconds(bar),
    value: bar.volume,
    color: bar.close >= bar.open ? this.colours.upFaint : this.colours.downFaint,
  });

  private readonly onRange = (range: { from: number; to: number } | null): void => {
    if (!range || this.shown.length === 0) return;
    this.ways.atEnd(range.to >= this.shown.length - 1 - AT_THE_END);
    if (range.from < NEAR_THE_START) this.ways.older();
  };

  private readonly onCrosshair = ({ time, logical }: MouseEventParams<Time>): void => {
    this.pointedAt = logical === undefined ? null : Math.round(logical);
    this.ways.pointed(time === undefined ? null : (time as number) * 1_000_000);
  };
}

const seconds = (bar: Candle) => (bar.start / 1_000_000) as UTCTimestamp;
const drawn = ({ open, high, low, close, ...bar }: Candle) => ({
  time: seconds(bar as Candle),
  open,
  high,
  low,
  close,
});
