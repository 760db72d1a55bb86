import "./fakePage";
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { duration, elapsed, shortTime } from "../src/format/times";
import { language } from "../src/words";

beforeEach(() => {
  language.value = "en";
});

test("a time of today shows its second, and a time of another day shows its date", () => {
  const noon = new Date().setHours(12, 0, 5, 0);
  assert.equal(shortTime(noon), "12:00:05");
  const thisYear = new Date(new Date().getFullYear(), 0, 5, 9, 30);
  if (thisYear.toDateString() !== new Date().toDateString()) assert.equal(shortTime(thisYear.getTime()), "1/5, 09:30");
  assert.equal(shortTime(new Date(2019, 0, 5, 9, 30).getTime()), "1/5/2019");
});

test("durations have the largest fitting unit", () => {
  assert.deepEqual([duration(1.23), duration(12.3), duration(3_400)], ["1.2 ms", "12 ms", "3.4 s"]);
  assert.deepEqual([elapsed(42.9), elapsed(180), elapsed(7_500)], ["42 s", "3 min", "2 h 5 min"]);
  language.value = "zh";
  assert.deepEqual([duration(3_400), elapsed(180), elapsed(7_500)], ["3.4 秒", "3 分钟", "2 小时 5 分钟"]);
});
