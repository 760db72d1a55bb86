import { isBoolean, listOf, oneOf, pref } from "../shell/prefs";

/** The drawings that a chart can add to its bars and their volume, in the order of the menu. */
export const indicators = ["ma", "vwap", "prevClose", "macd", "kdj", "rsi"] as const;
export type Indicator = (typeof indicators)[number];

/** The indicators of all charts. */
export const shownIndicators = pref<Indicator[]>("chart.indicators", [], listOf(oneOf(...indicators)), { share: true });

export function toggleIndicator(name: Indicator): void {
  const shown = shownIndicators.value;
  shownIndicators.value = indicators.filter((each) => (each === name) !== shown.includes(each));
}

/** Whether the quote panel is beside the charts. */
export const panelShown = pref("chart.panel", true, isBoolean);
