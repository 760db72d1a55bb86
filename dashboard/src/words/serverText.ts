import { language } from ".";
import { serverTextsZh } from "./serverTextsZh";

/** Return an English text of the server in the page's language. A text without a translation stays as it is. */
export const serverText = (text: string): string => (language.value === "zh" ? translate(text, patternsZh) : text);

interface Pattern {
  expression: RegExp;
  translation: string;
}

/** Patterns with more fixed characters come first: "write {}" also matches longer texts. */
const patternsZh: readonly Pattern[] = [...serverTextsZh]
  .sort(([one], [other]) => fixedLength(other) - fixedLength(one))
  .map(([text, translation]) => ({ expression: patternOf(text), translation }));

function translate(text: string, patterns: readonly Pattern[]): string {
  const plain = text.trim().replace(/\s+/g, " ");
  for (const { expression, translation } of patterns) {
    const parts = expression.exec(plain)?.slice(1);
    if (parts) return translation.replace(/\{(\d)\}/g, (_, index) => translate(parts[Number(index)] ?? "", patterns));
  }
  return text;
}

function fixedLength(text: string): number {
  return text.replaceAll("{}", "").length;
}

function patternOf(text: string): RegExp {
  const fixed = text.split("{}").map((part) => part.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
  return new RegExp(`^${fixed.join("(.+?)")}$`);
}
