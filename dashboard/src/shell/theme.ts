import { computed, effect } from "@preact/signals";
import { language } from "../words";
import { pref } from "./prefs";

export type Theme = "system" | "light" | "dark";
export const themes = ["system", "light", "dark"] as const;
export const theme = pref<Theme>("theme", "system", themes);

/** The colour of rising prices: green in the West, red in China, so it follows the language until one chooses. */
export type Rising = "green" | "red";
export const risings = ["green", "red"] as const;
export const chosenRising = pref<Rising | null>("rising", null, [...risings, null]);
export const rising = computed<Rising>(() => chosenRising.value ?? (language.value === "zh" ? "red" : "green"));

effect(() => {
  const { dataset } = document.documentElement;
  dataset.theme = theme.value;
  dataset.rising = rising.value;
});
