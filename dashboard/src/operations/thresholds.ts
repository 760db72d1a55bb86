import type { Operations } from "../api/types";

/** The level of a value: at `bad`, the alert in deploy/prometheus begins. */
export type Level = "good" | "warn" | "bad";

/**
 * The values from which a measurement is `warn` and `bad`. `bad` has the limits of the alert rules.
 *
 * `latency` is the 99th percentile in ms, `loopDelay` is in ms, and `lag` is the number of events. `readers` is the share
 * of the readers that the server accepts. `gaps` is the number of gaps per second.
 */
const LIMITS = {
  latency: [50, 100],
  loopDelay: [50, 100],
  lag: [20, 100],
  readers: [0.75, 0.9],
  gaps: [0, 0],
} as const;

/** Return the level of a value. A missing value is good. */
export function levelOf(name: keyof typeof LIMITS, value: number | null | undefined): Level {
  const [warn, bad] = LIMITS[name];
  if (value == null) return "good";
  return value > bad ? "bad" : value > warn ? "warn" : "good";
}

/** Return the level of the number of readers. */
export function readersLevel({ readers, max_readers: most }: Operations): Level {
  return levelOf("readers", most > 0 ? readers / most : null);
}
