/** A set of symbols and patterns: `*` stands for any characters, and `?` for one character. */
export class SymbolMatcher {
  private readonly symbols: ReadonlySet<string>;
  private readonly pattern: RegExp | null;

  constructor(list: readonly string[]) {
    this.symbols = new Set(list);
    const patterns = list.filter((each) => /[*?]/.test(each)).map(toRegExp);
    this.pattern = patterns.length > 0 ? new RegExp(`^(?:${patterns.join("|")})$`, "s") : null;
  }

  has(symbol: string): boolean {
    return this.symbols.has(symbol) || (this.pattern?.test(symbol) ?? false);
  }

  hasAll(symbols: readonly string[]): boolean {
    return symbols.every((symbol) => this.has(symbol));
  }
}

const toRegExp = (pattern: string): string =>
  pattern
    .replace(/[.+^${}()|[\]\\/-]/g, "\\$&")
    .replace(/\*/g, ".*")
    .replace(/\?/g, ".");

/** Return the shortest sorted list for the union of some lists. */
export function unite(lists: Iterable<readonly string[]>): string[] {
  const union = new Set<string>();
  for (const list of lists) for (const symbol of list) union.add(symbol);
  return union.has("*") ? ["*"] : [...union].sort();
}

/** Return the symbol of an event, or null if the event concerns no single symbol. */
export function symbolOf(text: string): string | null {
  // Quotes and candles begin with their symbol, so most events are not parsed.
  const start = /^\{"symbol":"([^"\\]*)"/.exec(text);
  if (start) return start[1] as string;
  const symbol = (JSON.parse(text) as { symbol?: unknown } | null)?.symbol;
  return typeof symbol === "string" ? symbol : null;
}
