import { signal } from "@preact/signals";
import { ask } from "../api/http";
import { timeOfDay } from "../format/times";
import { words } from "../words";

const PATIENCE = 10_000; // ms for an answer; a server that hangs says nothing, and neither does its machine

/** How new what is shown is: of when the last answer is, and why there is none since. */
export class Freshness {
  readonly at = signal<number | null>(null); // ms since 1970
  readonly failure = signal(""); // empty while the newest question was answered

  /** Ask; null where there is no answer. */
  async ask<T>(path: string): Promise<T | null> {
    const stop = new AbortController();
    const timer = window.setTimeout(() => stop.abort(new Error(words.value.shell.unanswered)), PATIENCE);
    try {
      const answer = await ask<T>(path, { signal: stop.signal });
      this.at.value = Date.now();
      this.failure.value = "";
      return answer;
    } catch (error) {
      this.failure.value = error instanceof Error ? error.message : String(error);
      return null;
    } finally {
      window.clearTimeout(timer);
    }
  }

  /** Since when there is nothing newer, and why, in words; "" while there is. */
  told(): string {
    const { away, old } = words.value.operations;
    const why = this.failure.value;
    if (!why) return "";
    return this.at.value === null ? away(why) : old(timeOfDay(this.at.value), why);
  }
}
