import { signal } from "@preact/signals";
import { request } from "../api/http";
import { shortTime } from "../format/times";
import { words } from "../words";

/** A server that hangs never answers, while its connection stays open. So requests need a limit. */
const TIMEOUT_MS = 10_000;

/** Sends requests, and stores the time of the last answer and the reason of any failure since then. */
export class Freshness {
  readonly answeredAt = signal<number | null>(null); // ms since 1970
  readonly failure = signal(""); // "" after a success

  /** Send a request. Return null without an answer. */
  async request<T>(path: string): Promise<T | null> {
    const controller = new AbortController();
    const timer = window.setTimeout(() => controller.abort(new Error(words.value.shell.serverSilent)), TIMEOUT_MS);
    try {
      const answer = await request<T>(path, { signal: controller.signal });
      this.answeredAt.value = Date.now();
      this.failure.value = "";
      return answer;
    } catch (error) {
      this.failure.value = error instanceof Error ? error.message : String(error);
      return null;
    } finally {
      window.clearTimeout(timer);
    }
  }

  /** Return a notice with the time of the last answer and the failure since; "" while answers arrive. */
  staleNotice(): string {
    const { unavailable, outdated } = words.value.operations;
    if (!this.failure.value) return "";
    return this.answeredAt.value === null
      ? unavailable(this.failure.value)
      : outdated(shortTime(this.answeredAt.value), this.failure.value);
  }
}
