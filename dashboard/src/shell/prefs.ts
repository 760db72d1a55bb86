import { effect, type Signal, signal } from "@preact/signals";

const PREFIX = "tickwire.";

/** A signal that outlives a reload. `allowed` are its values, where they can be listed: what else is stored is not taken. */
export function pref<T>(name: string, initial: T, allowed?: readonly T[]): Signal<T> {
  const made = signal<T>(stored(PREFIX + name, initial, allowed));
  effect(() => {
    const text = JSON.stringify(made.value);
    try {
      localStorage.setItem(PREFIX + name, text);
    } catch {
      // storage is full or forbidden: it is kept until the reload
    }
  });
  return made;
}

function stored<T>(key: string, initial: T, allowed?: readonly T[]): T {
  try {
    const text = localStorage.getItem(key);
    if (text === null) return initial;
    const value = JSON.parse(text) as T;
    return allowed && !allowed.includes(value) ? initial : value;
  } catch {
    return initial;
  }
}
