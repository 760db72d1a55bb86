import { type Field, isField, isTextField, numberFields, type TextField, textFields } from "./fieldNames";

/** A suggestion. */
export interface Option {
  text: string;
  kind: "field" | "word" | "function" | "value";
}

/** The suggestions that may replace the characters from `from` to `to`; `typed` is the text there now. */
export interface Completion {
  from: number;
  to: number;
  typed: string;
  options: Option[];
}

/** Returns the known values of a text field, to complete `sector = `. */
export type Values = (field: TextField) => readonly string[];

/** Names of fields in another language than English, such as 涨跌幅 for `change_rate`, each with the English name. */
export type Aliases = Readonly<Record<string, string>>;

const TOKEN =
  /"(?:[^"]|"")*"?|'(?:[^']|'')*'?|\d[\d.]*(?:e[+-]?\d+)?[KMBT%万亿]?|[且或非]|[a-z_\u4e00-\u9fff](?:(?![且或非])[\w\u4e00-\u9fff])*|<=|>=|!=|\S/giy;
const HAN = /[\u4e00-\u9fff]/;
const COMPARISONS = ["=", "!=", "<", "<=", ">", ">=", "in", "like", "between"];
const CONNECTIVES = ["and", "or", "not"];
const FUNCTIONS = ["abs", "min", "max"];
const ARITHMETIC = ["+", "-", "*", "/"];
const MAX_OPTIONS = 12;

/** Suggest how to continue at the caret. The grammar here is approximate; the server checks the filter. */
export function complete(text: string, caret: number, values: Values, aliases: Aliases = {}): Completion {
  const before = tokens(text.slice(0, caret));
  const last = before.at(-1);
  const open = last !== undefined && last.end === caret && isUnfinished(last.text);
  const typed = open ? last.text : "";
  const context = (open ? before.slice(0, -1) : before).map((token) => englishName(token.text, aliases));
  // The user may type more digits of the number.
  const insideNumber = !open && last?.end === caret && /^\d/.test(last.text);
  const found = insideNumber ? [] : optionsAfter(context, values);
  const options = rankOptions(typed, HAN.test(typed) ? found.map((option) => withAlias(option, aliases)) : found);
  return { from: caret - typed.length, to: caret, typed, options };
}

const englishName = (token: string, aliases: Aliases): string =>
  Object.hasOwn(aliases, token) ? (aliases[token] ?? token) : token;

/** Return an option with its name in the other language, if it has one. */
function withAlias(option: Option, aliases: Aliases): Option {
  const alias = Object.entries(aliases).find(([, name]) => name === option.text);
  return alias ? { ...option, text: alias[0] } : option;
}

interface Token {
  text: string;
  end: number;
}

function tokens(text: string): Token[] {
  const result: Token[] = [];
  for (let position = 0; position < text.length; ) {
    TOKEN.lastIndex = position;
    const token = TOKEN.exec(text)?.[0];
    // If no token begins here, skip one space.
    position += token?.length ?? 1;
    if (token) result.push({ text: token, end: position });
  }
  return result;
}

/** Whether a token is a word, or a text without its closing quote. */
function isUnfinished(token: string): boolean {
  return (
    /^[a-z_\u4e00-\u9fff][\w\u4e00-\u9fff]*$/i.test(token) ||
    (/^["']/.test(token) && (token.length === 1 || token.at(-1) !== token[0]))
  );
}

function optionsAfter(context: readonly string[], values: Values): Option[] {
  const lower = context.map((token) => token.toLowerCase());
  const previous = lower.at(-1) ?? "";
  const field = comparedTextField(lower);
  if (previous === "in") return wordOptions(["("]);
  if (previous === "not" && isOperand(lower.at(-2))) return wordOptions(["in (", "between", "like"]);
  if (!isOperand(previous)) {
    if (field) return values(field).map((value) => ({ text: quoted(value), kind: "value" }));
    return COMPARISONS.includes(previous) || ARITHMETIC.includes(previous) || previous === ","
      ? operandOptions(numberFields)
      : [...operandOptions([...numberFields, ...textFields]), ...wordOptions(["not"])];
  }
  return afterOperand(lower, previous);
}

function afterOperand(lower: readonly string[], previous: string): Option[] {
  const clause = lower.slice(lower.findLastIndex((token) => CONNECTIVES.includes(token) && token !== "not") + 1);
  if (clause.includes("between") && !betweenIsComplete(lower)) return wordOptions(["and"]);
  if (clause.some((token) => COMPARISONS.includes(token)) || betweenIsComplete(lower))
    return wordOptions(["and", "or"]);
  if (isTextField(previous)) return wordOptions(["=", "!=", "in (", "like", "not in ("]);
  return wordOptions([">", "<", ">=", "<=", "=", "!=", "between", "in (", ...ARITHMETIC]);
}

/** Whether the last `between` already has its `and`. */
function betweenIsComplete(lower: readonly string[]): boolean {
  const start = lower.lastIndexOf("between");
  return start >= 0 && lower.slice(start).filter((token) => token === "and" || token === "or").length === 1;
}

/** Return the text field whose value is expected at the caret, as in `sector = ` or `sector in ("A", `. */
function comparedTextField(lower: readonly string[]): TextField | null {
  const list = /(\w+) (?:not )?in \((?: ["'][^"']*["'] ,)*$/.exec(lower.join(" "));
  const name = list?.[1] ?? (["=", "!=", "like"].includes(lower.at(-1) ?? "") ? lower.findLast(isField) : undefined);
  return name !== undefined && isTextField(name) ? name : null;
}

const isOperand = (token: string | undefined): boolean =>
  token !== undefined && token !== "" && (/^[\d"')]/.test(token) || isField(token));

const wordOptions = (all: readonly string[]): Option[] => all.map((text) => ({ text, kind: "word" }));

const operandOptions = (fields: readonly Field[]): Option[] => [
  ...fields.map((text): Option => ({ text, kind: "field" })),
  ...FUNCTIONS.map((name): Option => ({ text: `${name}(`, kind: "function" })),
];

const quoted = (value: string): string => `"${value.replaceAll('"', '""')}"`;

/**
 * Return the options that contain `typed`: an equal option first, then the options that begin with `typed`. If the only
 * option is equal to `typed`, return none.
 */
function rankOptions(typed: string, options: readonly Option[]): Option[] {
  const query = typed.toLowerCase().replace(/^'/, '"');
  const isEqual = ({ text }: Option): boolean => text.toLowerCase() === query;
  const position = ({ text }: Option): number => text.toLowerCase().indexOf(query);
  const rank = (option: Option): number => (isEqual(option) ? -1 : Math.min(1, position(option)));
  const matching = options.filter((option) => position(option) >= 0).sort((one, other) => rank(one) - rank(other));
  return matching.length === 1 && matching.some(isEqual) ? [] : matching.slice(0, MAX_OPTIONS);
}
