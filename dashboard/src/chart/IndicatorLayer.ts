import {
  HistogramSeries,
  type IChartApiBase,
  type ISeriesApi,
  LineSeries,
  LineStyle,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";
import type { Candle } from "../api/types";
import { price } from "../format/numbers";
import type { Indicator } from "./chartSettings";
import type { Colours } from "./colours";
import { type IndicatorContext, type IndicatorLine, indicatorLines, ownPane } from "./indicatorLines";

type AnySeries = ISeriesApi<"Line" | "Histogram", Time>;

/** A line on the chart, its values, and its colour in the legend. */
interface DrawnLine extends IndicatorLine {
  name: Indicator;
  series: AnySeries;
  colour: string;
}

/** A value of an indicator at the bar under the crosshair. */
export interface IndicatorValue {
  label: string;
  value: number | null;
  colour: string;
  decimals: number;
}

/** The panes of prices and of volume. */
const BASE_PANES = 2;

/** Draws the indicators: over the prices, or in panes of their own below the volume. */
export class IndicatorLayer {
  private lines: DrawnLine[] = [];
  private shown: readonly Indicator[] = [];
  private decimals = 2;

  constructor(
    private readonly chart: IChartApiBase<Time>,
    private readonly context: () => IndicatorContext,
    private colours: Colours,
  ) {}

  /** Show these indicators of the bars, and no others. */
  show(names: readonly Indicator[], bars: readonly Candle[]): void {
    for (const { series } of this.lines) this.chart.removeSeries(series);
    this.shown = names;
    let pane = BASE_PANES;
    this.lines = names.flatMap((name) => this.add(name, ownPane.includes(name) ? pane++ : 0));
    for (const added of this.chart.panes().slice(BASE_PANES)) added.setStretchFactor(1.2);
    this.setBars(bars);
  }

  /** Compute all values and draw them. */
  setBars(bars: readonly Candle[]): void {
    this.compute(bars);
    for (const line of this.lines) {
      line.series.setData(bars.map((bar, index) => this.point(line, bar, index)) as never);
    }
  }

  /** Compute all values, and draw only the values of the newest bar. */
  updateNewest(bars: readonly Candle[]): void {
    const bar = bars.at(-1);
    if (!bar || this.lines.length === 0) return;
    this.compute(bars);
    for (const line of this.lines) line.series.update(this.point(line, bar, bars.length - 1) as never);
  }

  restyle(colours: Colours, bars: readonly Candle[]): void {
    this.colours = colours;
    this.show(this.shown, bars);
  }

  setDecimals(decimals: number): void {
    this.decimals = decimals;
    for (const { name, series } of this.lines) series.applyOptions(this.priceFormat(name));
  }

  /** Return the values at the bar with this index. */
  valuesAt(index: number): IndicatorValue[] {
    return this.lines.map(({ name, label, colour, values }) => ({
      label,
      colour,
      value: values[index] ?? null,
      decimals: this.decimalsOf(name),
    }));
  }

  private compute(bars: readonly Candle[]): void {
    const context = this.context();
    for (const name of this.shown) {
      const computed = indicatorLines(name, bars, context);
      this.lines
        .filter((line) => line.name === name)
        .forEach((line, index) => {
          line.values = computed[index]?.values ?? [];
        });
    }
  }

  private add(name: Indicator, pane: number): DrawnLine[] {
    // The series begin without values. `setBars` sets the values.
    return indicatorLines(name, [], this.context()).map((line, index) => {
      const colour = this.colourOf(name, index);
      const options = { priceLineVisible: false, lastValueVisible: false, ...this.priceFormat(name) };
      const series: AnySeries =
        line.shape === "histogram"
          ? this.chart.addSeries(HistogramSeries, { ...options, base: 0 }, pane)
          : this.chart.addSeries(
              LineSeries,
              { ...options, color: colour, lineWidth: 1, crosshairMarkerVisible: false },
              pane,
            );
      if (name === "rsi") this.addLevels(series, [30, 70]);
      return { ...line, name, series, colour };
    });
  }

  /** Draw the limits between which an oscillator is neither overbought nor oversold. */
  private addLevels(series: AnySeries, levels: readonly number[]): void {
    const color = this.colours.muted;
    for (const value of levels) {
      series.createPriceLine({
        price: value,
        color,
        lineWidth: 1,
        lineStyle: LineStyle.Dotted,
        axisLabelVisible: false,
      });
    }
  }

  private colourOf(name: Indicator, index: number): string {
    const { series, accent } = this.colours;
    if (name === "vwap") return accent;
    // The histogram of the MACD has the colours of rising and falling prices.
    if (name === "macd") return index === 0 ? this.colours.muted : (series[index - 1] ?? accent);
    return series[index] ?? accent;
  }

  private decimalsOf(name: Indicator): number {
    if (name === "kdj" || name === "rsi") return 1;
    // The differences of averages are much smaller than prices.
    return name === "macd" ? this.decimals + 2 : this.decimals;
  }

  private priceFormat(name: Indicator) {
    const decimals = this.decimalsOf(name);
    const formatter = (value: number): string => price(value, decimals);
    return { priceFormat: { type: "custom", minMove: 10 ** -decimals, formatter } } as const;
  }

  private point({ shape, values }: DrawnLine, bar: Candle, index: number) {
    const time = (bar.start / 1_000_000) as UTCTimestamp;
    const value = values[index];
    if (value == null) return { time };
    const { up, down } = this.colours;
    return shape === "histogram" ? { time, value, color: value >= 0 ? up : down } : { time, value };
  }
}
