import { pref } from "../shell/prefs";

/** A filter that somebody gave a name. Names are told apart; a second one of the same name replaces the first. */
export interface Saved {
  name: string;
  filter: string;
}

export const saved = pref<Saved[]>("screens", []);

export function save(name: string, filter: string): void {
  const others = saved.value.filter((each) => each.name !== name);
  saved.value = [...others, { name, filter }].sort((one, other) => one.name.localeCompare(other.name));
}

export function rename(from: string, to: string): void {
  const found = saved.value.find((each) => each.name === from);
  if (!found || from === to) return;
  remove(from);
  save(to, found.filter);
}

export function remove(name: string): void {
  saved.value = saved.value.filter((each) => each.name !== name);
}

/** What a filter was saved as, if it was. */
export const nameOf = (filter: string): string | null =>
  saved.value.find((each) => each.filter === filter)?.name ?? null;
