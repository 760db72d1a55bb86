import assert from "node:assert/strict";
import { test } from "node:test";
import type { BoardQuote, Candle } from "../src/api/types";
import { CandleSeries, withQuote } from "../src/chart/candleSeries";

const MINUTE = 60_000_000;
const candle = (minute: number, close: number, closed = true): Candle =>
  ({ start: minute * MINUTE, open: 10, high: 12, low: 9, close, volume: 1, closed }) as Candle;
const closes = (series: CandleSeries): number[] => series.all.map((each) => each.close);

test("candles stay in order, and each start occurs once", () => {
  const series = new CandleSeries();
  assert.equal(series.update(candle(2, 20)), "newest");
  assert.equal(series.update(candle(1, 10)), "inserted");
  assert.equal(series.update(candle(3, 30, false)), "newest");
  assert.equal(series.update(candle(3, 31, false)), "newest");
  assert.deepEqual(closes(series), [10, 20, 31]);
});

test("a closed candle is final", () => {
  const series = new CandleSeries();
  series.update(candle(1, 10));
  assert.equal(series.update(candle(1, 11, false)), "nothing");
  assert.deepEqual(closes(series), [10]);
});

test("a fetched open candle does not replace the candle of the stream", () => {
  const series = new CandleSeries();
  series.update(candle(2, 20, false));
  series.merge([candle(1, 10), candle(2, 19, false), candle(3, 30, false)]);
  assert.deepEqual(closes(series), [10, 20, 30]);
  series.merge([candle(2, 21)]);
  assert.deepEqual(closes(series), [10, 21, 30]);
  assert.equal(series.firstOpenStart, 3 * MINUTE);
});

test("the bar at a time is the newest one that starts before it", () => {
  const series = new CandleSeries();
  series.merge([candle(1, 10), candle(3, 30)]);
  assert.equal(series.barAt(0), null);
  assert.deepEqual(series.barAt(2 * MINUTE)?.bar.close, 10);
  assert.deepEqual(series.barAt(3 * MINUTE)?.previous?.close, 10);
});

test("the newest price moves an open bar, but only within the time of the bar", () => {
  const quote = (minute: number, last: number): BoardQuote => ({ last, ts: minute * MINUTE }) as BoardQuote;
  const open = candle(1, 10, false);
  assert.deepEqual({ ...open, close: 13, high: 13 }, withQuote(open, quote(1.5, 13), 60));
  assert.deepEqual({ ...open, close: 8, low: 8 }, withQuote(open, quote(1.5, 8), 60));
  for (const each of [quote(0.9, 13), quote(2, 13), undefined]) assert.equal(withQuote(open, each, 60), open);
  const closed = candle(1, 10);
  assert.equal(withQuote(closed, quote(1.5, 13), 60), closed);
});
