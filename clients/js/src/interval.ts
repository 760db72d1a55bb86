/** Return the milliseconds of an interval such as "250ms" or "1s". */
export function toMilliseconds(interval: string): number {
  return Number.parseFloat(interval) * (interval.endsWith("ms") || !interval.endsWith("s") ? 1 : 1000);
}
