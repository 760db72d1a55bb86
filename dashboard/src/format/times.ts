import { locale } from "../words";

const made = new Map<string, Intl.DateTimeFormat>();

/** The time of day, to the second, of a moment in ms since 1970. */
export function timeOfDay(ms: number): string {
  const known = made.get(locale.value) ?? new Intl.DateTimeFormat(locale.value, { timeStyle: "medium", hour12: false });
  made.set(locale.value, known);
  return known.format(ms);
}

/** A duration in ms: "12 ms", "3.4 s". */
export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** A length of time in seconds, as one says it: "42 s", "3 min", "2 h 5 min". */
export function elapsed(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
