import { signal } from "@preact/signals";

/** What happened on the connection, by a key of the dictionaries. */
export interface Entry {
  id: number;
  at: number; // ms since 1970
  what: "connecting" | "open" | "waiting" | "refused" | "resting" | "welcome" | "gap" | "bye" | "status" | "expiring";
  detail: string;
  command: string; // that somebody gave the feed; "" for none
}

const MOST = 200; // what one reads back; older ones are dropped

let made = 0;

export const log = signal<readonly Entry[]>([]);

export function note(what: Entry["what"], detail = "", command = ""): void {
  log.value = [{ id: made++, at: Date.now(), what, detail, command }, ...log.value.slice(0, MOST - 1)];
}
