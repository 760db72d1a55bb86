import { computed, signal } from "@preact/signals";
import { hasForm, isText, listOf, pref, reloadPrefs } from "../shell/prefs";

/** A saved list of symbols. Names are unique. The default list has an empty name; every language shows its own word for it. */
export interface Watchlist {
  name: string;
  symbols: string[];
}

const DEFAULT_LIST: Watchlist = { name: "", symbols: [] };

const areLists = listOf(hasForm<Watchlist>({ name: isText, symbols: listOf(isText) }));
const areWatchlists = (value: unknown): value is Watchlist[] =>
  areLists(value) && value[0]?.name === "" && new Set(value.map(({ name }) => name)).size === value.length;

/** The lists of all tabs. */
export const watchlists = pref<Watchlist[]>("lists", [DEFAULT_LIST], areWatchlists, { share: true });
/** The name of the selected list, or null for all symbols. Each tab has its own. */
const selectedName = pref<string | null>("list.name", null, (value) => value === null || isText(value));
/** The list that was removed last and can be restored. */
export const removedList = signal<Watchlist | null>(null);

export const selectedList = computed<Watchlist | null>(
  // Another tab may have removed the list.
  () => watchlists.value.find(({ name }) => name === selectedName.value) ?? null,
);

/** The name of the list that the star of a row changes: the selected one, or the default. */
const starredName = (): string => selectedList.value?.name ?? "";
export const starredSymbols = computed<ReadonlySet<string>>(
  () => new Set(watchlists.value.find(({ name }) => name === starredName())?.symbols),
);

export function selectList(name: string | null): void {
  selectedName.value = name;
}

export function toggleStar(symbol: string): void {
  const on = !starredSymbols.value.has(symbol);
  const target = starredName();
  change((lists) =>
    lists.map(({ name, symbols }) => {
      const others = symbols.filter((each) => each !== symbol);
      return { name, symbols: name !== target ? symbols : on ? [...others, symbol] : others };
    }),
  );
}

/** Add an empty list, or select the list that already has this name. */
export function addWatchlist(name: string): void {
  insert({ name, symbols: [] });
  selectList(name);
}

/** Remove the selected list. The default list stays. */
export function removeSelected(): void {
  const removed = selectedList.value;
  if (!removed?.name) return;
  change((lists) => lists.filter(({ name }) => name !== removed.name));
  removedList.value = removed;
  selectList(null);
}

/** Restore the list that was removed last. */
export function restoreRemoved(): void {
  const list = removedList.value;
  if (list === null) return;
  insert(list);
  selectList(list.name);
  removedList.value = null;
}

function insert(list: Watchlist): void {
  change((lists) => (lists.some(({ name }) => name === list.name) ? lists : [...lists, list]));
}

/** Change the lists as they are stored now: another tab may have changed them, too. */
function change(by: (lists: Watchlist[]) => Watchlist[]): void {
  reloadPrefs();
  watchlists.value = by(watchlists.value);
}
