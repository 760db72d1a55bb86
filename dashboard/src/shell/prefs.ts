import { effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";

const PREFIX = "tickwire.";

/**
 * Whether a stored value has the right form. Another version of the page or another program may have stored the value.
 */
type IsValid<T> = (value: unknown) => value is T;

interface Stored {
  /** The storage key; null while the owner is unknown. */
  key: () => string | null;
  /** Read the value again, because another tab may have stored a new one. */
  reload: () => void;
}

interface PrefOptions {
  /** Whether the preference follows changes in other tabs. Otherwise each tab keeps its own value. */
  share?: boolean;
  /** The user who owns the preference: "" for a user without a name, and null while the user is unknown. */
  owner?: ReadonlySignal<string | null>;
}

const NAMELESS = signal("");

/** The preferences that all tabs share. */
const shared: Stored[] = [];

/**
 * Return a signal that is stored in the browser. A stored value that is not valid is replaced by `initial`.
 *
 * With `owner`, every user has a separate value. While the owner is unknown, the value is `initial` and is not stored.
 */
export function pref<T>(
  name: string,
  initial: T,
  isValid: IsValid<T>,
  { share = false, owner = NAMELESS }: PrefOptions = {},
): Signal<T> {
  let key = storageKey(name, owner.peek());
  const preference = signal<T>(stored(key, isValid) ?? initial);
  let written = JSON.stringify(preference.value);
  effect(() => {
    const text = JSON.stringify(preference.value);
    // Do not write an unchanged value, because another tab may have stored a newer value.
    if (text === written) return;
    written = text;
    if (key === null) return;
    try {
      localStorage.setItem(key, text);
    } catch {
      // Storage is full or forbidden. The value lasts until the page is reloaded.
    }
  });
  effect(() => {
    const next = storageKey(name, owner.value);
    if (next === key) return;
    key = next;
    const value = stored(key, isValid) ?? initial;
    written = JSON.stringify(value);
    preference.value = value;
  });
  if (share) {
    const reload = (): void => {
      const value = stored(key, isValid);
      const text = JSON.stringify(value);
      if (value === undefined || text === written) return;
      written = text;
      preference.value = value;
    };
    shared.push({ key: () => key, reload });
  }
  return preference;
}

/**
 * Read the values that other tabs have stored. Call this before a change of a shared list, so that the changes of other
 * tabs are not lost.
 */
export function reloadPrefs(): void {
  for (const { reload } of shared) reload();
}

/** Delete all preferences, also those of an earlier version of the page. */
export function clearPrefs(): void {
  for (const key of Object.keys(localStorage)) if (key.startsWith(PREFIX)) localStorage.removeItem(key);
}

addEventListener("storage", ({ key: changed }) => {
  for (const { key, reload } of shared) if (changed === null || changed === key()) reload();
});
// A page that comes back from the back/forward cache has missed the events.
addEventListener("pageshow", ({ persisted }) => persisted && reloadPrefs());

/** Return a check for one of these values. */
export const oneOf =
  <T>(...allowed: readonly T[]): IsValid<T> =>
  (value): value is T =>
    (allowed as readonly unknown[]).includes(value);

export const isText = (value: unknown): value is string => typeof value === "string";
export const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";

/** Return a check for an object with these fields. */
export const hasForm =
  <T extends object>(form: { [K in keyof T]: IsValid<T[K]> }): IsValid<T> =>
  (value): value is T =>
    typeof value === "object" &&
    value !== null &&
    (Object.keys(form) as (keyof T)[]).every((name) => Object.hasOwn(value, name) && form[name]((value as T)[name]));

/** Return a check for a list of such values. */
export const listOf =
  <T>(isValid: IsValid<T>): IsValid<T[]> =>
  (value): value is T[] =>
    Array.isArray(value) && value.every(isValid);

const storageKey = (name: string, owner: string | null): string | null =>
  owner === null ? null : PREFIX + name + (owner && `@${owner}`);

function stored<T>(key: string | null, isValid: IsValid<T>): T | undefined {
  if (key === null) return undefined;
  try {
    const value: unknown = JSON.parse(localStorage.getItem(key) ?? "");
    return isValid(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
