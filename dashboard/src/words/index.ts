import { computed, effect } from "@preact/signals";
import type { Instrument } from "../api/types";
import { plainText } from "../format/texts";
import { oneOf, pref } from "../shell/prefs";
import { en, type Words } from "./en";
import { zh } from "./zh";

/** Every language: its tag, its own name and its dictionary. To add one, create a file like `zh.ts` and a line here. */
export const languages = {
  en: { tag: "en", name: "English", words: en },
  zh: { tag: "zh-CN", name: "中文", words: zh },
} satisfies Record<string, { tag: string; name: string; words: Words }>;

export type Language = keyof typeof languages;

const preferred: Language = navigator.language.startsWith("zh") ? "zh" : "en";
export const language = pref<Language>("language", preferred, oneOf(...(Object.keys(languages) as Language[])), {
  share: true,
});

/** The dictionary of the current language. A component that reads `.value` is rendered again when it changes. */
export const words = computed<Words>(() => languages[language.value].words);

/** Return the display name of a sector. A sector without a translation keeps its name. */
export function sectorTitle(sector: string): string {
  const { sectors } = words.value.board;
  return Object.hasOwn(sectors, sector) ? (sectors[sector] ?? sector) : plainText(sector);
}

/** Return the name of an instrument in the page's language, or "" if the name is unknown. */
export const instrumentName = (about: Instrument | undefined): string =>
  (language.value === "zh" && about?.name_zh) || about?.name || "";

export const locale = computed(() => languages[language.value].tag);

effect(() => {
  document.documentElement.lang = locale.value;
});
