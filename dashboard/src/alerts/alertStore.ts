import { computed } from "@preact/signals";
import { userName } from "../api/rights";
import { hasForm, isBoolean, isText, listOf, oneOf, pref, reloadPrefs } from "../shell/prefs";
import { type Alert, enabled, type Firing, type PriceAlert } from "./alertRules";

/** The limit keeps the stream and the checks of all alerts small. */
export const MAX_ALERTS = 50;
const MAX_FIRINGS = 100;

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const isNumberOrNull = (value: unknown): value is number | null => value === null || isNumber(value);
const sides = ["above", "below"] as const;

const isPriceAlert = hasForm({
  kind: oneOf("price" as const),
  id: isText,
  symbol: isText,
  price: isNumber,
  side: oneOf(...sides),
  on: isBoolean,
});
const isFilterAlert = hasForm({ kind: oneOf("filter" as const), id: isText, filter: isText, on: isBoolean });
const isAlert = (value: unknown): value is Alert => isPriceAlert(value) || isFilterAlert(value);
const isFiring = hasForm<Firing>({
  id: isText,
  at: isNumber,
  kind: oneOf<Alert["kind"]>("price", "filter"),
  symbols: listOf(isText),
  price: isNumberOrNull,
  side: oneOf<PriceAlert["side"] | null>(...sides, null),
  filter: isText,
});

/** Every user has a separate list of alerts, because several users may sign in to one browser. */
const ofUser = { share: true, owner: userName };

/** The alerts of the user in all tabs, the newest first. */
export const alerts = pref<Alert[]>("alerts", [], listOf(isAlert), ofUser);
/** The alerts that have fired, the newest first. */
export const firings = pref<Firing[]>("alerts.fired", [], listOf(isFiring), ofUser);
/** The time in ms since 1970 at which the user saw the list of firings. */
export const seenAt = pref("alerts.seen", 0, isNumber, ofUser);
export const soundOn = pref("alerts.sound", true, isBoolean, { share: true });
export const notificationsOn = pref("alerts.notify", false, isBoolean, { share: true });

export const unseenCount = computed(() => firings.value.filter(({ at }) => at > seenAt.value).length);
export const priceAlerts = computed(() => alerts.value.filter((each) => each.kind === "price"));

type Draft = Omit<PriceAlert, "id" | "on"> | { kind: "filter"; filter: string };

export function addAlert(draft: Draft): void {
  const alert: Alert = { ...draft, id: crypto.getRandomValues(new Uint32Array(2)).join("-"), on: true };
  change((all) => [alert, ...all].slice(0, MAX_ALERTS));
}

export const removeAlert = (id: string): void => change((all) => all.filter((each) => each.id !== id));

export const disableAlert = (id: string): void =>
  change((all) => all.map((each) => (each.id === id ? { ...each, on: false } : each)));

export function recordFiring(firing: Firing): void {
  reloadPrefs();
  firings.value = [firing, ...firings.value].slice(0, MAX_FIRINGS);
}

export function clearFirings(): void {
  firings.value = [];
}

/**
 * Switch an alert on again. `last`, the newest price of its symbol, decides from which side the price has to reach the
 * line.
 */
export const enableAlert = (id: string, last: number | null): void =>
  change((all) => all.map((each) => (each.id === id ? enabled(each, last) : each)));

/** Change the alerts as they are stored now: another tab may have changed them, too. */
function change(by: (all: Alert[]) => Alert[]): void {
  reloadPrefs();
  alerts.value = by(alerts.value);
}
