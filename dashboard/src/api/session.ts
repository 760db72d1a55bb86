import { signal } from "@preact/signals";

const KEY = "tickwire.token";

/**
 * The bearer token, or null. It is kept in sessionStorage: it outlives a reload, but not the tab, is not shared with
 * other tabs, and unlike a cookie no other site can make the browser send it. Scripts of this page could read it; the
 * page's policy lets none run but ours.
 */
export const token = signal<string | null>(sessionStorage.getItem(KEY));

/** Why the sign-in form is shown; null while it is not. */
export const refused = signal<"required" | "refused" | "expired" | "out" | null>(null);

export function signIn(text: string): void {
  sessionStorage.setItem(KEY, text);
  token.value = text;
  refused.value = null;
}

export function signOut(why: "refused" | "expired" | "out" | "required" = "out"): void {
  sessionStorage.removeItem(KEY);
  token.value = null;
  refused.value = why;
}
