/** An alert that fires once, when the price of a symbol reaches a line. The alert is then off. */
export interface PriceAlert {
  kind: "price";
  id: string;
  symbol: string;
  price: number;
  /** The side on which the line is reached: at or above it, or at or below it. */
  side: "above" | "below";
  on: boolean;
}

/** An alert that fires whenever a symbol begins to match a filter. */
export interface FilterAlert {
  kind: "filter";
  id: string;
  filter: string;
  on: boolean;
}

export type Alert = PriceAlert | FilterAlert;

/** An alert that has fired. */
export interface Firing {
  id: string;
  /** The time in ms since 1970. */
  at: number;
  kind: Alert["kind"];
  symbols: string[];
  /** The price of the line; null for a filter. */
  price: number | null;
  side: PriceAlert["side"] | null;
  filter: string;
}

/** Return the side of a line that a price has not reached yet. A price on the line counts as below. */
export const sideFor = (line: number, last: number | null): PriceAlert["side"] =>
  last !== null && last > line ? "below" : "above";

/**
 * Return the alert, switched on. A price alert waits until the price reaches the line from its present side. If the
 * price is unknown, the alert keeps its side.
 */
export const enabled = (alert: Alert, last: number | null): Alert =>
  alert.kind === "price" && last !== null
    ? { ...alert, on: true, side: sideFor(alert.price, last) }
    : { ...alert, on: true };

export const isReached = ({ side, price }: PriceAlert, last: number): boolean =>
  side === "above" ? last >= price : last <= price;

/** Return the symbols that match now and did not match before. The first check returns no symbols. */
export const newMatches = (before: ReadonlySet<string> | undefined, now: readonly string[]): string[] =>
  before === undefined ? [] : now.filter((symbol) => !before.has(symbol));
