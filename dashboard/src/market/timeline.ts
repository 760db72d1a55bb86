import type { Recording } from "../api/types";

const DAY_MICROS = 86_400_000_000;

/** A position on the bar, from 0 (the start of the recording) to 1 (its end). */
export type Share = number;

/** Return the recorded time of a market time: a replay that repeats adds whole days. Times are microseconds since 1970. */
export const recordedTime = (marketTime: number, { shifted_days }: Recording): number =>
  marketTime - shifted_days * DAY_MICROS;

/** Return the position of a recorded time on the bar; null outside of the recording. */
export function shareAt(time: number, { start, end }: Recording): Share | null {
  if (time < start || time > end) return null;
  return end > start ? (time - start) / (end - start) : 0;
}

/** Return the pauses of the recording as parts of the bar. */
export const pauseShares = (recording: Recording): { from: Share; to: Share }[] =>
  recording.pauses.flatMap(([begin, end]) => {
    const [from, to] = [shareAt(begin, recording), shareAt(end, recording)];
    return from === null || to === null ? [] : [{ from, to }];
  });
