import { computed, effect, signal } from "@preact/signals";
import { request } from "./http";
import { signInReason, token } from "./session";
import type { Whoami } from "./types";

/**
 * The rights of the token; null until they are loaded. The page hides controls that the server would refuse; the server
 * checks every request.
 */
export const rights = signal<Whoami | null>(null);
export const isAdmin = computed(() => rights.value?.scopes.includes("admin") ?? false);

/** The name of the user; "" if the server does not name users, and null while the user is unknown or signed out. */
export const userName = computed(() =>
  signInReason.value === null && rights.value !== null ? (rights.value.user ?? "") : null,
);

/** The token of the last request; undefined before the first request. */
let requestedToken: string | null | undefined;

/** Load the rights, unless they are known for this token. */
export async function loadRights(): Promise<void> {
  if (requestedToken === token.value) return;
  const sentToken = token.value;
  requestedToken = sentToken;
  try {
    const answer = await request<Whoami>("v1/whoami");
    if (sentToken === token.value) rights.value = answer;
  } catch {
    // The next call tries again.
    if (requestedToken === sentToken) requestedToken = undefined;
  }
}

// Another token has other rights.
effect(() => {
  token.value;
  rights.value = null;
  requestedToken = undefined;
});
