import { signal } from "@preact/signals";
import { words } from "../words";

const APART = 10_000; // ms between two notifications: what comes meanwhile is told together
const GATHER = 400; // ms: who comes in at the same time is told together
const NAMED = 3;

/** Whether one is to be told, or why that cannot be. */
export type BellState = "off" | "on" | "denied" | "impossible";

/** A browser notification when symbols enter the screen; few, however many enter. */
export class Bell {
  readonly state = signal<BellState>("off");
  private waiting: string[] = [];
  private last = -Infinity;
  private timer = 0;

  /** On someone's click only: the browser asks them at the first time. */
  async toggle(): Promise<void> {
    if (this.state.value === "on") {
      this.state.value = "off";
      return;
    }
    this.state.value = await allowed();
  }

  /** `name` is what the screen is called. */
  ring(symbol: string, name: string): void {
    if (this.state.value !== "on") return;
    this.waiting.push(symbol);
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.show(name), Math.max(GATHER, this.last + APART - performance.now()));
  }

  /** Tell nothing more of who has come in so far. */
  forget(): void {
    window.clearTimeout(this.timer);
    this.waiting = [];
  }

  private show(name: string): void {
    const { entered, others } = words.value.screener;
    const symbols = [...new Set(this.waiting)];
    const more = symbols.length - NAMED;
    const body = symbols.slice(0, NAMED).join(", ") + (more > 0 ? others(more) : "");
    this.waiting = [];
    this.last = performance.now();
    try {
      const shown = new Notification(entered(name), { body, tag: "tickwire-screen" }); // a newer one replaces it
      shown.onclick = () => {
        window.focus();
        shown.close();
      };
    } catch {
      this.state.value = "impossible"; // some phones let only service workers show them
    }
  }
}

async function allowed(): Promise<BellState> {
  if (!("Notification" in window) || !window.isSecureContext) return "impossible";
  const answer =
    Notification.permission === "default" ? await Notification.requestPermission() : Notification.permission;
  return answer === "granted" ? "on" : "denied";
}
