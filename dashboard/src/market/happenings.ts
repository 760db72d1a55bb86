import { effect, signal } from "@preact/signals";
import type { Status } from "../api/types";
import { status } from "../live/market";

/** A change that a `status` told, whoever made it. */
export interface Happening {
  id: number;
  at: number; // ms since 1970
  now: Status;
  before: Status | null;
}

const MOST = 50; // what one reads back

export const happenings = signal<readonly Happening[]>([]);

let before: Status | null = null;
let made = 0;

effect(() => {
  const now = status.value;
  if (now === null || now === before) return;
  happenings.value = [{ id: made++, at: Date.now(), now, before }, ...happenings.peek().slice(0, MOST - 1)];
  before = now;
});
