import { signal } from "@preact/signals";
import type { ConnectionState } from "./eventStream";

/** An entry of the connection log. `kind` is a key of the dictionaries. */
export interface LogEntry {
  id: number;
  at: number; // ms since 1970
  kind: ConnectionState | "welcome" | "gap" | "bye" | "status" | "expiring";
  detail: string;
  command: string; // the command that changed the feed, or ""
}

/** Older entries are dropped, because nobody scrolls back further. */
const MAX_ENTRIES = 200;

let nextId = 0;

/** The newest entry comes first. */
export const connectionLog = signal<readonly LogEntry[]>([]);

export function logEvent(kind: LogEntry["kind"], detail = "", command = ""): void {
  const entry = { id: nextId++, at: Date.now(), kind, detail, command };
  connectionLog.value = [entry, ...connectionLog.value.slice(0, MAX_ENTRIES - 1)];
}
