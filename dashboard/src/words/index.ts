import { computed, effect } from "@preact/signals";
import { pref } from "../shell/prefs";
import { en, type Words } from "./en";
import { zh } from "./zh";

/** A language: its tag, its own name, its words. Another one is another file like `zh.ts` and a line here. */
export const languages = {
  en: { tag: "en", name: "English", words: en },
  zh: { tag: "zh-CN", name: "中文", words: zh },
} satisfies Record<string, { tag: string; name: string; words: Words }>;

export type Language = keyof typeof languages;

const preferred: Language = navigator.language.startsWith("zh") ? "zh" : "en";
export const language = pref<Language>("language", preferred, Object.keys(languages) as Language[]);

/** The words of the language in use; a component that reads `.value` is drawn anew when it changes. */
export const words = computed<Words>(() => languages[language.value].words);
export const locale = computed(() => languages[language.value].tag);

effect(() => {
  document.documentElement.lang = locale.value;
});
