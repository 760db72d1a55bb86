import type { Instrument } from "../api/types";
import { type SymbolMatch, searchSymbols } from "../chart/symbolSearch";

/** A command of the palette. `words` are further texts by which a user finds the command. */
export interface Command {
  id: string;
  title: string;
  words: string;
  run: () => void;
}

/** A line of the palette: a symbol or a command. */
export type PaletteItem = { kind: "symbol"; match: SymbolMatch } | { kind: "command"; command: Command };

const MAX_SYMBOLS = 12;
const MAX_COMMANDS = 12;

/**
 * Return the items that match a text: symbols by code and name, and commands by the beginnings of their words.
 *
 * An exact symbol comes first. Without a text, only commands are listed.
 */
export function findItems(
  text: string,
  commands: readonly Command[],
  symbols: Iterable<string>,
  instruments: ReadonlyMap<string, Instrument>,
): PaletteItem[] {
  const query = text.trim().toLowerCase();
  const found = commands.filter((command) => matches(query, command)).slice(0, query ? MAX_COMMANDS : Infinity);
  const commandItems = found.map((command): PaletteItem => ({ kind: "command", command }));
  if (!query) return commandItems;
  const symbolItems = searchSymbols(query, symbols, instruments)
    .slice(0, MAX_SYMBOLS)
    .map((match): PaletteItem => ({ kind: "symbol", match }));
  const exactCommand = found.some(({ title }) => title.toLowerCase().startsWith(query));
  const [first] = symbolItems;
  const exactSymbol = first?.kind === "symbol" && first.match.symbol.toLowerCase() === query;
  return exactCommand && !exactSymbol ? [...commandItems, ...symbolItems] : [...symbolItems, ...commandItems];
}

/** Whether every word of a text begins a word of the command. Chinese has no spaces, so a part of its title is enough. */
function matches(query: string, { title, words }: Command): boolean {
  const text = `${title} ${words}`.toLowerCase();
  const starts = text.split(/[\s/:·]+/);
  return query
    .split(/\s+/)
    .every((part) => starts.some((word) => word.startsWith(part)) || (isHan(part) && text.includes(part)));
}

const isHan = (text: string): boolean => /\p{Script=Han}/u.test(text);
