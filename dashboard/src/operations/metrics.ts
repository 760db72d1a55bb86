import { computed, signal } from "@preact/signals";
import type { Operations, Samples, Series } from "../api/types";
import { Freshness } from "./freshness";

/** The interval between two requests, and between two samples of the span `15m`. */
export const SAMPLE_MS = 5_000;
/** The spans of the charts: the interval and the maximum number of their samples. */
const SPANS = { "15m": { sampleMs: SAMPLE_MS, most: 180 }, "24h": { sampleMs: 60_000, most: 1_440 } };
export type Span = keyof typeof SPANS;
export const spans = Object.keys(SPANS) as Span[];

/** The stages of the data path, in their order. */
export const stages = ["feed", "journal", "apply", "dispatch", "flush"] as const;
export type Stage = (typeof stages)[number];

const NO_SAMPLES: Samples = {
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

/** The last response of the server, and its samples of the chosen span. */
export const metrics = signal<Operations | null>(null);
export const samples = signal<Samples>(NO_SAMPLES);

/** The charts of a new server span three minutes. */
const MIN_CHART_SAMPLES = 36;

/** The span that the user has chosen. */
export const span = signal<Span>("15m");
export const sampleMs = computed(() => SPANS[span.value].sampleMs);

/** Show another span. */
export function chooseSpan(chosen: Span): void {
  if (chosen === span.value) return;
  span.value = chosen;
  samples.value = NO_SAMPLES;
  void loadMetrics();
}

/** The number of samples that charts have room for. */
export const chartSamples = computed(() => Math.max(MIN_CHART_SAMPLES, samples.value.ts.length));

export const freshness = new Freshness();

/** The index of the sample under the pointer, counted from the newest; null without a pointer. */
export const pointedSample = signal<number | null>(null);

/** Load the current metrics and the samples that are missing. */
export async function loadMetrics(): Promise<void> {
  const requested = span.value;
  const { sampleMs: interval, most } = SPANS[requested];
  const since = samples.value.ts.length > 0 ? (freshness.answeredAt.value ?? 0) : 0;
  const missing = Math.min(most, Math.ceil((Date.now() - since) / interval) + 1);
  const response = await freshness.request<Operations>(`v1/operations?span=${requested}&samples=${missing}`);
  // The user may have chosen another span while the server answered.
  if (response === null || requested !== span.value) return;
  samples.value = appendSamples(isNewProcess(response) ? NO_SAMPLES : samples.value, response.history, most);
  metrics.value = response;
}

/** Whether the server was restarted. In this case, its samples do not continue the earlier samples. */
function isNewProcess(response: Operations): boolean {
  return response.uptime < (metrics.value?.uptime ?? 0);
}

function appendSamples(current: Samples, added: Samples, most: number): Samples {
  const newest = current.ts.at(-1) ?? 0;
  const from = added.ts.findIndex((ts) => (ts ?? 0) > newest);
  if (from < 0) return current;
  const names = Object.keys(NO_SAMPLES) as Series[];
  return Object.fromEntries(
    names.map((name) => [name, [...current[name], ...added[name].slice(from)].slice(-most)]),
  ) as Samples;
}
