import assert from "node:assert/strict";
import { test } from "node:test";
import type { Recording } from "../src/api/types";
import { pauseShares, recordedTime, shareAt } from "../src/market/timeline";

const recording: Recording = { start: 100, end: 300, pauses: [[150, 200]], shifted_days: 0 };

test("the start is at 0, the end at 1, and other times are not on the bar", () => {
  assert.deepEqual(
    [99, 100, 250, 300, 301].map((time) => shareAt(time, recording)),
    [null, 0, 0.75, 1, null],
  );
  assert.equal(shareAt(100, { ...recording, end: 100 }), 0);
});

test("pauses are parts of the bar", () => {
  assert.deepEqual(pauseShares(recording), [{ from: 0.25, to: 0.5 }]);
});

test("a repetition adds whole days to the recorded times", () => {
  assert.equal(recordedTime(2 * 86_400_000_000 + 150, { ...recording, shifted_days: 2 }), 150);
});
