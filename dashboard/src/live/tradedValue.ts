import type { BoardQuote, Instrument } from "../api/types";

type Instruments = ReadonlyMap<string, Instrument>;

/** Return the value that was traded since the session began, in the currency of the symbol. */
export const tradedValue = ({ turnover }: BoardQuote): number => turnover ?? 0;

/**
 * Return a function that divides the value of a symbol by the mean of all symbols with the same currency.
 *
 * The page has no exchange rates, so it cannot compare a value in yen with a value in dollars. But it can compare each
 * value with the mean of its currency.
 */
export function relativeToCurrency(
  quotes: Iterable<BoardQuote>,
  instruments: Instruments,
  value: (quote: BoardQuote) => number,
): (quote: BoardQuote) => number {
  const currencyOf = ({ symbol }: BoardQuote): string => instruments.get(symbol)?.currency ?? "";
  const means = new Map<string, number>();
  for (const [currency, members] of Map.groupBy(quotes, currencyOf)) {
    means.set(currency, members.reduce((sum, quote) => sum + value(quote), 0) / members.length);
  }
  return (quote) => value(quote) / (means.get(currencyOf(quote)) || 1);
}

/** Return the quotes with the most active symbols first: by traded value, compared within each currency. */
export function byActivity(quotes: Iterable<BoardQuote>, instruments: Instruments): BoardQuote[] {
  const all = [...quotes];
  const activity = relativeToCurrency(all, instruments, tradedValue);
  return all.sort((one, other) => activity(other) - activity(one));
}
