import assert from "node:assert/strict";
import { test } from "node:test";
import { initialPace, type Load, nextPace, PACES, type PaceState } from "../src/live/pace";

const calm: Load = { slowFrames: 0, delay: 20 };
const slow: Load = { slowFrames: 0.3, delay: 20 };
const late: Load = { slowFrames: 0, delay: 4_000 };
const uncertain: Load = { slowFrames: 0.08, delay: 20 };

const after = (state: PaceState, load: Load, readings: number): PaceState =>
  Array.from({ length: readings }).reduce<PaceState>((each) => nextPace(each, load), state);

/** Return the number of readings until the interval changes. */
function readingsUntilChange(state: PaceState, load: Load): number {
  let [each, count] = [state, 0];
  while (each.level === state.level && count < 1_000) [each, count] = [nextPace(each, load), count + 1];
  return count;
}

test("a calm page keeps the shortest interval", () => {
  assert.equal(after(initialPace, calm, 1_000).level, 0);
});

test("one slow second changes nothing, two in a row ask for a longer interval", () => {
  const once = nextPace(nextPace(initialPace, slow), calm);
  assert.equal(nextPace(once, slow).level, 0);
  for (const load of [slow, late]) assert.equal(after(initialPace, load, 2).level, 1);
});

test("after a change, the next readings are not judged", () => {
  const slower = after(initialPace, slow, 2);
  assert.deepEqual(slower, { level: 1, phase: "settling", run: 0, strained: 0, patience: 10 });
  assert.equal(after(slower, slow, 4).level, 1);
  assert.equal(after(slower, slow, 5).level, 2);
});

test("under lasting strain, the interval grows to the longest one and stays there", () => {
  let state = after(initialPace, late, 100);
  assert.equal(state.level, PACES.length - 1);
  for (let count = 0; count < 100; count++) state = after(nextPace(state, calm), late, 2);
  assert.equal(state.level, PACES.length - 1);
});

test("when the page is well again, the interval returns to the shortest one", () => {
  const slowest = after(initialPace, late, 100);
  assert.equal(after(slowest, calm, 100).level, 0);
});

test("single slow seconds do not prevent the return to a faster pace", () => {
  let state: PaceState = { level: 1, phase: "steady", run: 0, strained: 0, patience: 320 };
  for (let minute = 0; minute < 6; minute++) state = nextPace(after(state, calm, 59), slow);
  assert.equal(state.level, 0);
});

test("readings between calm and strain keep the interval", () => {
  const state = after(after(initialPace, slow, 2), uncertain, 1_000);
  assert.equal(state.level, 1);
});

test("a faster pace that fails is tried less and less often", () => {
  let state = after(initialPace, slow, 2);
  const waits: number[] = [];
  for (let attempt = 0; attempt < 7; attempt++) {
    state = after(state, calm, 3);
    const wait = readingsUntilChange(state, calm);
    waits.push(wait);
    state = after(state, calm, wait);
    assert.deepEqual([state.level, state.phase], [0, "probing"]);
    state = nextPace(state, slow);
    assert.deepEqual([state.level, state.phase], [1, "settling"]);
  }
  assert.deepEqual(waits, [10, 20, 40, 80, 160, 320, 320]);
});

test("a faster pace that lasts resets the patience", () => {
  const tired: PaceState = { level: 1, phase: "steady", run: 0, strained: 0, patience: 160 };
  const state = after(tired, calm, 160 + 10);
  assert.deepEqual([state.level, state.phase, state.patience], [0, "steady", 10]);
});
