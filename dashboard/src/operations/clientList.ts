import { computed, signal } from "@preact/signals";
import { request } from "../api/http";
import type { Client } from "../api/types";
import { Freshness } from "./freshness";

export const sorts = ["id", "since", "behind", "conflated", "stalls", "gaps"] as const;
export type Sort = (typeof sorts)[number];

const INITIAL_ROWS = 50;
/** The server's limit for one response. */
const MAX_ROWS = 1000;

export const sort = signal<Sort>("behind");
export const search = signal("");
const limit = signal(INITIAL_ROWS);

/** One row more than the table shows: if the answer contains this row, there are more clients. */
const requestedRows = computed(() => Math.min(MAX_ROWS, limit.value + 1));
export const clientQuery = computed(() =>
  new URLSearchParams({ sort: sort.value, search: search.value, limit: String(requestedRows.value) }).toString(),
);

const loaded = signal<readonly Client[]>([]);
export const freshness = new Freshness();
export const clients = computed(() => loaded.value.slice(0, limit.value));
export const hasMore = computed(() => loaded.value.length > limit.value);

export function showMore(): void {
  limit.value = Math.min(MAX_ROWS, limit.value * 4);
}

/** The result of the last eviction. */
export const evictionResult = signal<{ id: string; evicted: number; error?: string } | null>(null);

export async function loadClients(): Promise<void> {
  const query = clientQuery.value;
  const answer = await freshness.request<Client[]>(`v1/clients?${query}`);
  // Discard the answer to an outdated query, because the current query has its own answer.
  if (answer !== null && query === clientQuery.value) loaded.value = answer;
}

/** Close the streams of a client id. */
export async function evict(id: string): Promise<void> {
  try {
    const { evicted } = await request<{ evicted: number }>(`v1/clients/${encodeURIComponent(id)}`, {
      method: "DELETE",
    });
    evictionResult.value = { id, evicted };
  } catch (error) {
    evictionResult.value = { id, evicted: 0, error: String(error instanceof Error ? error.message : error) };
  }
  await loadClients();
}
