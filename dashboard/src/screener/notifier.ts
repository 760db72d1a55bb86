import { signal } from "@preact/signals";
import { requestPermission } from "../alerts/permission";
import { words } from "../words";

/** Symbols that enter within this interval share the next notification. */
const MIN_INTERVAL_MS = 10_000;
/** Symbols that enter almost at once share a notification. */
const GATHER_MS = 400;
const MAX_NAMED = 3;

/** Whether notifications are on, or the reason why they cannot be on. */
export type NotifierState = "off" | "on" | "denied" | "impossible";

/** Shows a browser notification when symbols enter the screen, at most one per `MIN_INTERVAL_MS`. */
export class Notifier {
  readonly state = signal<NotifierState>("off");
  private pending: string[] = [];
  private lastShownAt = -Infinity;
  private timer = 0;

  /**
   * Turn notifications on or off. Call this only after a click, because the browser asks the user for permission when
   * notifications are first turned on.
   */
  async toggle(): Promise<void> {
    if (this.state.value === "on") {
      this.state.value = "off";
      return;
    }
    const permission = await requestPermission();
    this.state.value = permission === "granted" ? "on" : permission;
  }

  /** Add a symbol to the next notification of the screen `name`. */
  notify(symbol: string, name: string): void {
    if (this.state.value !== "on") return;
    this.pending.push(symbol);
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(
      () => this.show(name),
      Math.max(GATHER_MS, this.lastShownAt + MIN_INTERVAL_MS - performance.now()),
    );
  }

  /** Drop the symbols that are waiting for a notification. */
  discardPending(): void {
    window.clearTimeout(this.timer);
    this.pending = [];
  }

  private show(name: string): void {
    const { notificationTitle, andMore } = words.value.screener;
    const symbols = [...new Set(this.pending)];
    const more = symbols.length - MAX_NAMED;
    const body = symbols.slice(0, MAX_NAMED).join(", ") + (more > 0 ? andMore(more) : "");
    this.pending = [];
    this.lastShownAt = performance.now();
    try {
      // A notification with the same tag replaces the previous notification.
      const notification = new Notification(notificationTitle(name), { body, tag: "tickwire-screen" });
      notification.onclick = () => {
        window.focus();
        notification.close();
      };
    } catch {
      // Some phones let only service workers show notifications.
      this.state.value = "impossible";
    }
  }
}
