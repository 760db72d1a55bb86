import { type Field, isField, isText, numbers, type TextField, texts } from "./fields";

/** Something that may stand at the caret. */
export interface Option {
  text: string;
  kind: "field" | "word" | "function" | "value";
}

/** What may stand in place of the characters from `from` to `to`; `typed` is what stands there. */
export interface Completion {
  from: number;
  to: number;
  typed: string;
  options: Option[];
}

/** Known texts of a field, for `sector = ` and the like. */
export type Values = (field: TextField) => readonly string[];

const TOKEN = /"(?:[^"]|"")*"?|'(?:[^']|'')*'?|\d[\d.]*(?:e[+-]?\d+)?[KMBT%]?|[a-z_]\w*|<=|>=|!=|\S/giy;
const COMPARING = ["=", "!=", "<", "<=", ">", ">=", "in", "like", "between"];
const JOINING = ["and", "or", "not"];
const FUNCTIONS = ["abs", "min", "max"];
const ARITHMETIC = ["+", "-", "*", "/"];
const MOST = 12;

/** What may be typed at the caret. It knows the shape of the language, not all of it: the server checks. */
export function complete(text: string, caret: number, values: Values): Completion {
  const before = tokens(text.slice(0, caret));
  const last = before.at(-1);
  const open = last !== undefined && last.end === caret && unfinished(last.text);
  const typed = open ? last.text : "";
  const context = (open ? before.slice(0, -1) : before).map((token) => token.text);
  const goesOn = !open && last?.end === caret && /^\d/.test(last.text); // a number may have more digits
  const options = goesOn ? [] : fitting(typed, expected(context, values));
  return { from: caret - typed.length, to: caret, typed, options };
}

interface Token {
  text: string;
  end: number;
}

function tokens(text: string): Token[] {
  const found: Token[] = [];
  for (let at = 0; at < text.length; ) {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text)?.[0];
    at += token?.length ?? 1; // a space
    if (token) found.push({ text: token, end: at });
  }
  return found;
}

/** A word, or a text whose closing quote is not there yet. */
function unfinished(token: string): boolean {
  return /^[a-z_]\w*$/i.test(token) || (/^["']/.test(token) && (token.length === 1 || token.at(-1) !== token[0]));
}

function expected(context: readonly string[], values: Values): Option[] {
  const lower = context.map((token) => token.toLowerCase());
  const previous = lower.at(-1) ?? "";
  const field = comparedText(lower);
  if (previous === "in") return words(["("]);
  if (["not"].includes(previous) && isOperand(lower.at(-2))) return words(["in (", "between", "like"]);
  if (!isOperand(previous)) {
    if (field) return values(field).map((value) => ({ text: quoted(value), kind: "value" }));
    return COMPARING.includes(previous) || ARITHMETIC.includes(previous) || previous === ","
      ? operands(numbers)
      : [...operands([...numbers, ...texts]), ...words(["not"])];
  }
  return afterOperand(lower, previous);
}

function afterOperand(lower: readonly string[], previous: string): Option[] {
  const clause = lower.slice(lower.findLastIndex((token) => JOINING.includes(token) && token !== "not") + 1);
  if (clause.includes("between") && !bounded(lower)) return words(["and"]);
  if (clause.some((token) => COMPARING.includes(token)) || bounded(lower)) return words(["and", "or"]);
  if (isText(previous)) return words(["=", "!=", "in (", "like", "not in ("]);
  return words([">", "<", ">=", "<=", "=", "!=", "between", "in (", ...ARITHMETIC]);
}

/** Whether the newest `between` has its `and`, and the caret is behind both of its ends. */
function bounded(lower: readonly string[]): boolean {
  const at = lower.lastIndexOf("between");
  return at >= 0 && lower.slice(at).filter((token) => token === "and" || token === "or").length === 1;
}

/** The text field that the caret's value is compared with: `sector = `, `sector in ("A", `. */
function comparedText(lower: readonly string[]): TextField | null {
  const list = /(\w+) (?:not )?in \((?: ["'][^"']*["'] ,)*$/.exec(lower.join(" "));
  const name = list?.[1] ?? (["=", "!=", "like"].includes(lower.at(-1) ?? "") ? lower.findLast(isField) : undefined);
  return name !== undefined && isText(name) ? name : null;
}

const isOperand = (token: string | undefined): boolean =>
  token !== undefined && token !== "" && (/^[\d"')]/.test(token) || isField(token));

const words = (all: readonly string[]): Option[] => all.map((text) => ({ text, kind: "word" }));

const operands = (fields: readonly Field[]): Option[] => [
  ...fields.map((text): Option => ({ text, kind: "field" })),
  ...FUNCTIONS.map((name): Option => ({ text: `${name}(`, kind: "function" })),
];

const quoted = (value: string): string => `"${value.replaceAll('"', '""')}"`;

/** What was typed itself, those that begin with it, then those that have it within; none where it is the only one. */
function fitting(typed: string, options: readonly Option[]): Option[] {
  const sought = typed.toLowerCase().replace(/^'/, '"');
  const place = ({ text }: Option): number => text.toLowerCase().indexOf(sought);
  const found = options.filter((option) => place(option) >= 0);
  const rank = (option: Option): number => (option.text.toLowerCase() === sought ? -1 : Math.min(1, place(option)));
  found.sort((one, other) => rank(one) - rank(other));
  return found.some(({ text }) => text.toLowerCase() === sought) && found.length === 1 ? [] : found.slice(0, MOST);
}
