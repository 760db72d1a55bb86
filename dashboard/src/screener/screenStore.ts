import { hasForm, isText, listOf, pref, reloadPrefs } from "../shell/prefs";

/** A saved filter. Names are unique: saving a filter under an existing name replaces the earlier filter. */
export interface SavedScreen {
  name: string;
  filter: string;
}

export const savedScreens = pref<SavedScreen[]>("screens", [], listOf(hasForm({ name: isText, filter: isText })), {
  share: true,
});

export function saveScreen(name: string, filter: string): void {
  reloadPrefs();
  const others = savedScreens.value.filter((each) => each.name !== name);
  savedScreens.value = [...others, { name, filter }].sort((one, other) => one.name.localeCompare(other.name));
}

export function renameScreen(from: string, to: string): void {
  const screen = savedScreens.value.find((each) => each.name === from);
  if (!screen || from === to) return;
  removeScreen(from);
  saveScreen(to, screen.filter);
}

export function removeScreen(name: string): void {
  reloadPrefs();
  savedScreens.value = savedScreens.value.filter((each) => each.name !== name);
}

/** Return the name of a saved filter, or null. */
export const savedName = (filter: string): string | null =>
  savedScreens.value.find((each) => each.filter === filter)?.name ?? null;
