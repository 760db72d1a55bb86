import { computed, effect } from "@preact/signals";
import { language } from "../words";
import { oneOf, pref } from "./prefs";

export type Theme = "system" | "light" | "dark";
export const themes = ["system", "light", "dark"] as const;
export const theme = pref<Theme>("theme", "system", oneOf(...themes), { share: true });

/**
 * The colour of rising prices. The default is green in the West and red in China, depending on the language of the
 * page.
 */
export type Rising = "green" | "red";
export const risings = ["green", "red"] as const;
export const chosenRising = pref<Rising | null>("rising", null, oneOf<Rising | null>(...risings, null), {
  share: true,
});
export const rising = computed<Rising>(() => chosenRising.value ?? (language.value === "zh" ? "red" : "green"));

effect(() => {
  const { dataset } = document.documentElement;
  dataset.theme = theme.value;
  dataset.rising = rising.value;
});
