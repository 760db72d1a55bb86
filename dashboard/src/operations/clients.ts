import { computed, signal } from "@preact/signals";
import { ask } from "../api/http";
import type { Client } from "../api/types";
import { Freshness } from "./freshness";

export const sorts = ["id", "since", "behind", "conflated", "stalls", "gaps"] as const;
export type Sort = (typeof sorts)[number];

const FIRST = 50; // rows; more on demand
const MOST = 1000; // that the server gives

export const sort = signal<Sort>("behind");
export const search = signal("");
const limit = signal(FIRST);

/** One more than is shown, so that one knows whether there are others. */
const asked = computed(() => Math.min(MOST, limit.value + 1));
export const wish = computed(() =>
  new URLSearchParams({ sort: sort.value, search: search.value, limit: String(asked.value) }).toString(),
);

const found = signal<readonly Client[]>([]);
export const freshness = new Freshness();
export const clients = computed(() => found.value.slice(0, limit.value));
export const more = computed(() => found.value.length > limit.value);

export function showMore(): void {
  limit.value = Math.min(MOST, limit.value * 4);
}

/** What became of the last eviction. */
export const outcome = signal<{ id: string; evicted: number; error?: string } | null>(null);

export async function readClients(): Promise<void> {
  const wanted = wish.value;
  const answer = await freshness.ask<Client[]>(`v1/clients?${wanted}`);
  if (answer !== null && wanted === wish.value) found.value = answer; // else what is wished now has an answer of its own
}

/** End the streams of a client id. */
export async function evict(id: string): Promise<void> {
  try {
    const { evicted } = await ask<{ evicted: number }>(`v1/clients/${encodeURIComponent(id)}`, { method: "DELETE" });
    outcome.value = { id, evicted };
  } catch (error) {
    outcome.value = { id, evicted: 0, error: String(error instanceof Error ? error.message : error) };
  }
  await readClients();
}
