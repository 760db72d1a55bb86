import { signal } from "@preact/signals";

const STORAGE_KEY = "tickwire.token";

/**
 * The bearer token, or null. The page keeps the token in sessionStorage, so the token survives a reload, but ends with
 * the tab, and other tabs do not have it. Unlike a cookie, the token is never sent on behalf of another site. Scripts
 * of this page can read the token, but the Content-Security-Policy allows only scripts from the server.
 */
export const token = signal<string | null>(sessionStorage.getItem(STORAGE_KEY));

export type SignInReason = "required" | "rejected" | "expired" | "signed-out";

/** The reason why the sign-in form is shown; null while it is hidden. */
export const signInReason = signal<SignInReason | null>(null);
/** The server's explanation of a rejection, such as a claim that the token lacks. */
export const rejection = signal("");

/** Return the token in a text: a token alone, a whole header such as "Authorization: Bearer ...", or either in quotes. */
export const tokenIn = (text: string): string =>
  text
    .replace(/^[\s"']*(?:authorization\s*:\s*)?(?:bearer\s+)?/i, "")
    // A token that was copied from several lines has spaces.
    .replace(/[\s"']+/g, "");

export function signIn(newToken: string): void {
  sessionStorage.setItem(STORAGE_KEY, newToken);
  token.value = newToken;
  signInReason.value = null;
}

export function signOut(reason: SignInReason = "signed-out", explanation = ""): void {
  sessionStorage.removeItem(STORAGE_KEY);
  token.value = null;
  rejection.value = explanation;
  signInReason.value = reason;
}
