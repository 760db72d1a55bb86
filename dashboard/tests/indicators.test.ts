import assert from "node:assert/strict";
import { test } from "node:test";
import type { Candle } from "../src/api/types";
import { alignedCloses, kdj, macd, movingAverage, rsi, sessionVwap } from "../src/chart/indicators";

const bar = (start: number, close: number, low = close, high = close, volume = 1): Candle => ({
  symbol: "A",
  interval: "1m",
  start,
  open: close,
  high,
  low,
  close,
  volume,
  closed: true,
});

const rounded = (values: readonly (number | null)[]) => values.map((value) => value && Math.round(value * 100) / 100);

test("a moving average is null until its period is complete", () => {
  assert.deepEqual(movingAverage([1, 2, 3, 4, 8], 3), [null, null, 2, 3, 5]);
});

test("a constant price has a MACD of zero", () => {
  const { line, histogram } = macd(Array(40).fill(10), 1);
  assert.equal(line[24], null);
  assert.ok(Math.abs(line.at(-1) ?? Number.NaN) < 1e-9);
  assert.ok(Math.abs(histogram.at(-1) ?? Number.NaN) < 1e-9);
});

test("the histogram of Chinese programs is twice as high", () => {
  const closes = Array.from({ length: 60 }, (_, index) => 100 + index ** 1.5);
  const [western, chinese] = [macd(closes, 1), macd(closes, 2)];
  assert.deepEqual(western.line, chinese.line);
  assert.equal(chinese.histogram.at(-1), 2 * (western.histogram.at(-1) ?? 0));
});

test("the RSI has the values of Wilder's example", () => {
  // The example of https://school.stockcharts.com/doku.php?id=technical_indicators:relative_strength_index_rsi
  const closes = [
    44.34, 44.09, 44.15, 43.61, 44.33, 44.83, 45.1, 45.42, 45.84, 46.08, 45.89, 46.03, 45.61, 46.28, 46.28, 46.0,
  ];
  const values = rounded(rsi(closes));
  assert.equal(values[13], null);
  assert.deepEqual(values.slice(14), [70.46, 66.25]);
});

test("the RSI of a price that has not moved is 50", () => {
  const values = rsi([...Array(16).fill(10), 11, 12]);
  assert.equal(values[13], null);
  assert.deepEqual(values.slice(14), [50, 50, 100, 100]);
});

test("K, D and J start at 50 and follow the place of the close in the range", () => {
  const flat = Array.from({ length: 8 }, (_, index) => bar(index, 15, 10, 20));
  const { k, d, j } = kdj([...flat, bar(8, 20, 10, 20), bar(9, 10, 10, 20)]);
  assert.deepEqual(rounded(k), [...Array(8).fill(null), 66.67, 44.44]);
  assert.deepEqual(rounded(d), [...Array(8).fill(null), 55.56, 51.85]);
  assert.deepEqual(rounded(j), [...Array(8).fill(null), 88.89, 29.63]);
});

test("KDJ of a price that does not move stays at 50", () => {
  const { k, j } = kdj(Array.from({ length: 12 }, (_, index) => bar(index, 5)));
  assert.deepEqual([k.at(-1), j.at(-1)], [50, 50]);
});

test("VWAP begins again with each session", () => {
  const bars = [bar(0, 10), bar(1, 20, 20, 20, 3), bar(5, 40), bar(6, 50)];
  assert.deepEqual(sessionVwap(bars, [0, 5], 0), [10, 17.5, 40, 45]);
  assert.deepEqual(sessionVwap([bar(0, 10, 10, 10, 0)], [0], 0), [null]);
});

test("VWAP is unknown in a session whose start is not loaded, or not known", () => {
  const bars = [bar(2, 10), bar(5, 40), bar(6, 50)];
  assert.deepEqual(sessionVwap(bars, [0, 5], 2), [null, 40, 45]);
  // The first trade of the session was at 2, and there are no older bars.
  assert.deepEqual(sessionVwap(bars, [0, 5], -Infinity), [10, 40, 45]);
  assert.deepEqual(sessionVwap(bars, [], -Infinity), [null, null, null]);
});

test("the closes of a compared symbol carry over to bars without a trade", () => {
  const bars = [0, 1, 2, 3].map((start) => bar(start, 1));
  assert.deepEqual(alignedCloses(bars, [bar(1, 7), bar(3, 9)]), [null, 7, 7, 9]);
});
