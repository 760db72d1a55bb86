import { computed, signal } from "@preact/signals";
import type { Operations, Samples, Series } from "../api/types";
import { Freshness } from "./freshness";

export const EVERY = 5_000; // ms: as often as the server takes a sample
const KEPT = 180; // samples: 15 minutes
const NONE: Samples = {
  ts: [],
  readers: [],
  behind: [],
  lag: [],
  ticks: [],
  deliveries: [],
  bytes: [],
  conflated: [],
  gaps: [],
  p50: [],
  p99: [],
  loop_delay: [],
  memory: [],
};

/** What the server said last, and its samples of the last 15 minutes. */
export const figures = signal<Operations | null>(null);
export const samples = signal<Samples>(NONE);

const LEAST = 36; // samples: charts of a server that has just begun are of 3 minutes

/** How many samples charts have room for. */
export const shown = computed(() => Math.max(LEAST, samples.value.ts.length));

export const freshness = new Freshness();

/** The sample under the pointer, counted from the newest; null while there is none. */
export const pointed = signal<number | null>(null);

/** Ask for the figures of now, and for the samples that are missing. */
export async function readFigures(): Promise<void> {
  const missing = Math.min(KEPT, Math.ceil((Date.now() - (freshness.at.value ?? 0)) / EVERY) + 1);
  const found = await freshness.ask<Operations>(`v1/operations?samples=${missing}`);
  if (found === null) return;
  samples.value = joined(began(found) ? NONE : samples.value, found.history);
  figures.value = found;
}

/** Whether it is another process than the one that was asked before: its samples do not continue those. */
function began(found: Operations): boolean {
  return found.uptime < (figures.value?.uptime ?? 0);
}

function joined(known: Samples, news: Samples): Samples {
  const newest = known.ts.at(-1) ?? 0;
  const from = news.ts.findIndex((ts) => (ts ?? 0) > newest);
  if (from < 0) return known;
  const names = Object.keys(NONE) as Series[];
  return Object.fromEntries(
    names.map((name) => [name, [...known[name], ...news[name].slice(from)].slice(-KEPT)]),
  ) as Samples;
}
