import { computed, effect, untracked } from "@preact/signals";
import { userName } from "../api/rights";
import type { Quote } from "../api/types";
import { EventStream } from "../live/eventStream";
import { fetchVerdict } from "../screener/filterCheck";
import { words } from "../words";
import { type Alert, type Firing, isReached, newMatches, type PriceAlert } from "./alertRules";
import { alerts, disableAlert, notificationsOn, recordFiring, soundOn } from "./alertStore";
import { firingText } from "./firingText";

/** The interval of the stream of prices. */
const PRICE_INTERVAL = "500ms";
/** The interval between two checks of the filters. All checks together are at most 50 small requests. */
const FILTER_INTERVAL_MS = 10_000;
const BEEP_HZ = 880;
const BEEP_S = 0.25;

/**
 * Watches the alerts of all tabs.
 *
 * Only one tab of the browser watches at a time, so that an alert fires once. A hidden tab keeps this stream open.
 */
class AlertMonitor {
  private stream: EventStream | null = null;
  private readonly matches = new Map<string, ReadonlySet<string>>();
  private checking = false;
  private closed = false;
  private readonly unsubscribe: () => void;
  private readonly timer: number;

  constructor() {
    const watched = computed(() => [...new Set(activeLines().map(({ symbol }) => symbol))].sort().join(","));
    this.unsubscribe = effect(() => this.watch(watched.value));
    this.timer = window.setInterval(() => void this.checkFilters(), FILTER_INTERVAL_MS);
    void this.checkFilters();
  }

  close(): void {
    this.closed = true;
    this.unsubscribe();
    window.clearInterval(this.timer);
    this.stream?.close();
  }

  private watch(symbols: string): void {
    this.stream?.close();
    this.stream = null;
    if (!symbols) return;
    const options = {
      symbols: symbols.split(","),
      events: ["quote"],
      fields: ["last"],
      interval: PRICE_INTERVAL,
    } as const;
    this.stream = new EventStream(options, { quote: (quote) => this.checkPrice(quote) }, true);
  }

  private checkPrice({ symbol, last }: Pick<Quote, "symbol" | "last">): void {
    if (last === null) return;
    for (const line of activeLines()) {
      if (line.symbol !== symbol || !isReached(line, last)) continue;
      disableAlert(line.id);
      fire(line, [symbol]);
    }
  }

  private async checkFilters(): Promise<void> {
    if (this.checking) return;
    this.checking = true;
    try {
      for (const alert of alerts.value) await this.checkFilter(alert);
    } finally {
      this.checking = false;
    }
  }

  private async checkFilter(alert: Alert): Promise<void> {
    if (alert.kind !== "filter" || !alert.on) {
      this.matches.delete(alert.id);
      return;
    }
    const verdict = await fetchVerdict(alert.filter);
    if (verdict.kind !== "valid" || this.closed) return;
    const entered = newMatches(this.matches.get(alert.id), verdict.answer.symbols);
    this.matches.set(alert.id, new Set(verdict.answer.symbols));
    if (entered.length > 0) fire(alert, entered);
  }
}

const activeLines = (): PriceAlert[] =>
  alerts.value.filter((each): each is PriceAlert => each.kind === "price" && each.on);

function fire(alert: Alert, symbols: string[]): void {
  const firing: Firing = {
    id: crypto.getRandomValues(new Uint32Array(2)).join("-"),
    at: Date.now(),
    kind: alert.kind,
    symbols,
    price: alert.kind === "price" ? alert.price : null,
    side: alert.kind === "price" ? alert.side : null,
    filter: alert.kind === "filter" ? alert.filter : "",
  };
  recordFiring(firing);
  if (soundOn.value) void beep();
  if (notificationsOn.value) notify(firing);
}

/** The audio output of the page; null before the first tone. A browser limits the number of outputs. */
let audio: AudioContext | null = null;
let beeping = false;

/** Play a short tone. A browser plays it only after the user has clicked somewhere on the page. */
async function beep(): Promise<void> {
  if (beeping) return;
  beeping = true;
  try {
    audio ??= new AudioContext();
    await audio.resume();
    playTone(audio);
  } catch {
    // The machine has no audio output.
  } finally {
    beeping = false;
  }
}

function playTone(context: AudioContext): void {
  const tone = context.createOscillator();
  const volume = context.createGain();
  tone.frequency.value = BEEP_HZ;
  volume.gain.setValueAtTime(0.2, context.currentTime);
  volume.gain.exponentialRampToValueAtTime(0.001, context.currentTime + BEEP_S);
  tone.connect(volume).connect(context.destination);
  tone.start();
  tone.stop(context.currentTime + BEEP_S);
}

function notify(firing: Firing): void {
  try {
    const notification = new Notification(words.value.alerts.fired, { body: firingText(firing), tag: firing.id });
    notification.onclick = () => {
      window.focus();
      notification.close();
    };
  } catch {
    // On some phones, only service workers may show notifications.
    notificationsOn.value = false;
  }
}

/** Watch the alerts of a user as soon as no other tab watches them. Return a function that stops the watching. */
function watchFor(user: string): () => void {
  // Without locks, which browsers offer to secure pages only, every tab watches.
  if (!("locks" in navigator)) {
    const monitor = untracked(() => new AlertMonitor());
    return () => monitor.close();
  }
  const waiting = new AbortController();
  let end = (): void => waiting.abort();
  const watchUntilEnd = (): Promise<void> =>
    new Promise((resolve) => {
      const monitor = new AlertMonitor();
      end = () => {
        monitor.close();
        resolve();
      };
    });
  navigator.locks.request(`tickwire.alerts@${user}`, { signal: waiting.signal }, watchUntilEnd).catch(() => {
    // The user signed out before this tab had the lock.
  });
  return () => end();
}

// A tab without a user must leave the alerts to the other tabs.
effect(() => (userName.value === null ? undefined : watchFor(userName.value)));
