import { computed } from "@preact/signals";
import { pref } from "../shell/prefs";

/** A list of symbols that somebody saved. An empty name is the first list, which has none of its own in any language. */
export interface List {
  name: string;
  symbols: string[];
}

const FIRST: List = { name: "", symbols: [] };

export const lists = pref<List[]>("lists", [FIRST]);
/** The list that is shown: its place among them, or null for all symbols. */
export const shown = pref<number | null>("list", null);

export const current = computed<List | null>(() => (shown.value === null ? null : (lists.value[shown.value] ?? null)));

/** The list that the star of a row is about: the one that is shown, or the first. */
const starred = (): number => (current.value === null ? 0 : (shown.value ?? 0));
export const stars = computed<ReadonlySet<string>>(() => new Set(lists.value[starred()]?.symbols));

export function toggle(symbol: string): void {
  const at = starred();
  const { name, symbols } = lists.value[at] ?? FIRST;
  const kept = symbols.filter((each) => each !== symbol);
  put(at, { name, symbols: kept.length < symbols.length ? kept : [...symbols, symbol] });
}

export function add(name: string): void {
  lists.value = [...lists.value, { name, symbols: [] }];
  shown.value = lists.value.length - 1;
}

/** Remove the list that is shown; the first one stays. */
export function remove(): void {
  const at = shown.value;
  if (!at) return;
  lists.value = lists.value.toSpliced(at, 1);
  shown.value = null;
}

function put(at: number, list: List): void {
  lists.value = lists.value.toSpliced(at, 1, list);
}
