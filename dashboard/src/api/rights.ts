import { computed, effect, signal } from "@preact/signals";
import { ask } from "./http";
import { token } from "./session";
import type { Whoami } from "./types";

/** What the token allows, as the server says; null until it has. It only spares people what would be refused. */
export const rights = signal<Whoami | null>(null);
export const isAdmin = computed(() => rights.value?.scopes.includes("admin") ?? false);

let asked: string | null | undefined; // the token that was asked for last; undefined is none yet

/** Ask who one is, unless that is known for this token. */
export async function readRights(): Promise<void> {
  if (asked === token.value) return;
  asked = token.value;
  try {
    rights.value = await ask<Whoami>("v1/whoami");
  } catch {
    asked = undefined; // the next look tries again
  }
}

effect(() => {
  token.value; // another one, other rights
  rights.value = null;
  asked = undefined;
});
