import type { Candle } from "../api/types";
import type { Indicator } from "./chartSettings";
import { kdj, MA_PERIODS, macd, movingAverage, rsi, sessionVwap } from "./indicators";

/** One line or histogram of an indicator. `label` is its name in the legend. */
export interface IndicatorLine {
  label: string;
  shape: "line" | "histogram";
  values: (number | null)[];
}

/** The values that an indicator needs besides the bars. */
export interface IndicatorContext {
  /** The starts of all sessions, in microseconds since 1970. */
  sessionStarts: readonly number[];
  /** All bars that start at or after this time are loaded (microseconds since 1970). */
  loadedFrom: number;
  /** Whether the MACD has the form of Chinese programs. */
  chinese: boolean;
}

/** The indicators that have a pane of their own. The others lie over the prices. */
export const ownPane: readonly Indicator[] = ["macd", "kdj", "rsi"];

/** Return the lines of an indicator. The previous close is a fixed price, so it has no line of values. */
export function indicatorLines(name: Indicator, bars: readonly Candle[], context: IndicatorContext): IndicatorLine[] {
  const line = (label: string, values: (number | null)[]): IndicatorLine => ({ label, shape: "line", values });
  const closes = bars.map(({ close }) => close);
  switch (name) {
    case "ma":
      return MA_PERIODS.map((period) => line(`MA${period}`, movingAverage(closes, period)));
    case "vwap":
      return [line("VWAP", sessionVwap(bars, context.sessionStarts, context.loadedFrom))];
    case "macd": {
      const { line: difference, signal, histogram } = macd(closes, context.chinese ? 2 : 1);
      const labels = context.chinese ? ["MACD", "DIF", "DEA"] : ["Histogram", "MACD", "Signal"];
      return [
        { label: labels[0] as string, shape: "histogram", values: histogram },
        line(labels[1] as string, difference),
        line(labels[2] as string, signal),
      ];
    }
    case "kdj": {
      const { k, d, j } = kdj(bars);
      return [line("K", k), line("D", d), line("J", j)];
    }
    case "rsi":
      return [line("RSI14", rsi(closes))];
    case "prevClose":
      return [];
  }
}
