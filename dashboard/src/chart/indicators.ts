// Technical indicators of a series of bars. A value is null where the indicator is not defined yet.

import { EMA, MACD, RSI, SMA } from "trading-signals";
import type { Candle } from "../api/types";

type Values = (number | null)[];

/** The periods of the moving averages. */
export const MA_PERIODS = [5, 10, 20] as const;

const MACD_PERIODS = { short: 12, long: 26, signal: 9 } as const;
const RSI_PERIOD = 14;
const KDJ_PERIOD = 9;
/** The values of K and D before the end of the first period. */
const KDJ_START = 50;
/** The share of the newest value in K and D. */
const KDJ_WEIGHT = 1 / 3;

/** Return the simple moving average of the last `period` values. */
export function movingAverage(values: readonly number[], period: number): Values {
  const average = new SMA(period);
  return values.map((value) => average.update(value, false));
}

export interface MacdValues {
  /** The difference of the short and the long exponential average: MACD, or DIF in Chinese programs. */
  line: Values;
  /** The exponential average of `line`: the signal, or DEA. */
  signal: Values;
  histogram: Values;
}

/**
 * Return the moving average convergence divergence with the periods 12, 26 and 9.
 *
 * `scale` multiplies the histogram: Western programs show the difference between line and signal, Chinese programs twice
 * the difference.
 */
export function macd(closes: readonly number[], scale: 1 | 2): MacdValues {
  const { short, long, signal } = MACD_PERIODS;
  const indicator = new MACD(new EMA(short), new EMA(long), new EMA(signal));
  const results = closes.map((close) => indicator.update(close, false));
  return {
    line: results.map((each) => each?.macd ?? null),
    signal: results.map((each) => each?.signal ?? null),
    histogram: results.map((each) => (each ? each.histogram * scale : null)),
  };
}

/**
 * Return the relative strength index of 14 bars, from 0 to 100, with the smoothing of Wilder.
 *
 * The index is 50 while the price has not moved at all.
 */
export function rsi(closes: readonly number[]): Values {
  const indicator = new RSI(RSI_PERIOD);
  let moved = false;
  return closes.map((close) => {
    moved ||= close !== closes[0];
    const value = indicator.update(close, false);
    return value === null || moved ? value : 50;
  });
}

export interface KdjValues {
  k: Values;
  d: Values;
  j: Values;
}

/**
 * Return the KDJ indicator (9, 3, 3).
 *
 * The raw value is the %K of the stochastic oscillator (https://en.wikipedia.org/wiki/Stochastic_oscillator): the position
 * of the close between the lowest low and the highest high of 9 bars, in percent. As in Chinese trading programs
 * (https://baike.baidu.com/item/KDJ), K = 2/3 of the K before + 1/3 of the raw value, D = 2/3 of the D before + 1/3 of K,
 * both start at 50, and J = 3K - 2D.
 */
export function kdj(bars: readonly Candle[]): KdjValues {
  const values: KdjValues = { k: [], d: [], j: [] };
  let [k, d] = [KDJ_START, KDJ_START];
  bars.forEach((bar, index) => {
    const window = bars.slice(Math.max(0, index + 1 - KDJ_PERIOD), index + 1);
    const complete = window.length === KDJ_PERIOD;
    if (complete) {
      k += KDJ_WEIGHT * (rawStochastic(bar.close, window) - k);
      d += KDJ_WEIGHT * (k - d);
    }
    values.k.push(complete ? k : null);
    values.d.push(complete ? d : null);
    values.j.push(complete ? 3 * k - 2 * d : null);
  });
  return values;
}

/** Return the position of a price in the range of some bars, in percent. Return 50 if low and high are equal. */
function rawStochastic(price: number, bars: readonly Candle[]): number {
  const low = Math.min(...bars.map((bar) => bar.low));
  const high = Math.max(...bars.map((bar) => bar.high));
  return high > low ? (100 * (price - low)) / (high - low) : 50;
}

/**
 * Return the volume-weighted average price since the start of each session.
 *
 * The price of a bar is its typical price, (high + low + close) / 3
 * (https://en.wikipedia.org/wiki/Volume-weighted_average_price). `starts` are the starts of all sessions, in order, in
 * the time unit of the bars. All bars since `loadedFrom` are known. The average is null in a session that started
 * earlier.
 */
export function sessionVwap(bars: readonly Candle[], starts: readonly number[], loadedFrom: number): Values {
  let [turnover, volume, next] = [0, 0, 0];
  return bars.map((bar) => {
    while (next < starts.length && (starts[next] as number) <= bar.start) {
      [turnover, volume] = [0, 0];
      next += 1;
    }
    turnover += ((bar.high + bar.low + bar.close) / 3) * bar.volume;
    volume += bar.volume;
    const start = starts[next - 1];
    return volume > 0 && start !== undefined && start >= loadedFrom ? turnover / volume : null;
  });
}

/**
 * Return the close of another symbol for each bar: the close of its newest candle that starts no later than the bar.
 *
 * Both lists are in the order of time.
 */
export function alignedCloses(bars: readonly Candle[], other: readonly Candle[]): Values {
  let next = 0;
  return bars.map((bar) => {
    while (next < other.length && (other[next] as Candle).start <= bar.start) next += 1;
    return other[next - 1]?.close ?? null;
  });
}
