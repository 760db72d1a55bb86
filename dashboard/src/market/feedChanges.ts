import { effect, signal, untracked } from "@preact/signals";
import type { Status } from "../api/types";
import { status } from "../live/marketData";
import { marketTime } from "./simulator";

/** A change reported by a status event, and the status before it. */
export interface FeedChange {
  id: number;
  at: number; // ms since 1970
  /** The market's time at the change, in ms since 1970. */
  marketTime: number | null;
  now: Status;
  before: Status | null;
}

/** Older changes are dropped, because nobody scrolls back further. */
const MAX_CHANGES = 50;

export const feedChanges = signal<readonly FeedChange[]>([]);

let previous: Status | null = null;
let nextId = 0;

effect(() => {
  const now = status.value;
  if (now === null || now === previous) return;
  feedChanges.value = [
    { id: nextId++, at: Date.now(), marketTime: untracked(marketTime), now, before: previous },
    ...feedChanges.peek().slice(0, MAX_CHANGES - 1),
  ];
  previous = now;
});
