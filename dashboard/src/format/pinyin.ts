import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Instrument } from "../api/types";

/** Return whether a Chinese text matches its pinyin, or the initials of its pinyin, as a user may type them. */
type PinyinMatcher = (text: string, query: string) => boolean;

/** The matcher of the library, whose dictionary is loaded when it is first needed; null before. */
export const pinyin = signal<PinyinMatcher | null>(null);

/** Return whether a text in lower case matches a name of an instrument, or the pinyin of its Chinese name. */
export function matchesName(about: Instrument | undefined, query: string): boolean {
  if ([about?.name, about?.name_zh].some((name) => name?.toLowerCase().includes(query))) return true;
  return about?.name_zh != null && isLatin(query) && (pinyin.value?.(about.name_zh, query) ?? false);
}

/** Load the dictionary if the text may be pinyin and an instrument has a Chinese name. */
export function usePinyin(text: string, instruments: ReadonlyMap<string, Instrument>): void {
  const needed = pinyin.value === null && isLatin(text.trim()) && [...instruments.values()].some(hasChineseName);
  useEffect(() => {
    if (needed) void load();
  }, [needed]);
}

/** Return a matcher that stores its results for one query, because the board searches all names again every second. */
export function withMemory(match: PinyinMatcher): PinyinMatcher {
  let stored = { query: "", results: new Map<string, boolean>() };
  return (text, query) => {
    if (stored.query !== query) stored = { query, results: new Map() };
    const result = stored.results.get(text) ?? match(text, query);
    stored.results.set(text, result);
    return result;
  };
}

const isLatin = (text: string): boolean => /^[a-zü]+$/i.test(text);
const hasChineseName = ({ name_zh }: Instrument): boolean => name_zh !== null && /\p{Script=Han}/u.test(name_zh);

async function load(): Promise<void> {
  try {
    const { default: library } = await import("pinyin-match");
    pinyin.value = withMemory((text, query) => library.match(text, query) !== false);
  } catch {
    // The server does not answer, which the header shows. The next search starts another attempt.
  }
}
