import type { BoardQuote, Instrument } from "../api/types";
import { quoteChangeRate } from "../format/decimals";
import { byActivity, tradedValue } from "../live/tradedValue";

/** The numbers of symbols that have risen, fallen and not changed since the previous close. */
export interface Breadth {
  rising: number;
  falling: number;
  unchanged: number;
}

export interface SectorSummary extends Breadth {
  /** The name of the sector; "" for symbols without a sector. */
  name: string;
  /** The mean change in percent. */
  meanRate: number | null;
}

export interface MarketSummary {
  gainers: string[];
  losers: string[];
  /** The symbols with the highest traded value, compared within each currency. */
  active: string[];
  breadth: Breadth;
  /** The sectors, those with the highest mean change first. */
  sectors: SectorSummary[];
}

const MAX_MOVERS = 10;

/** Summarize the market. Symbols without a change in percent count only as traded. */
export function summarize(quotes: Iterable<BoardQuote>, instruments: ReadonlyMap<string, Instrument>): MarketSummary {
  const all = [...quotes];
  const rated = all
    .map((quote) => ({ symbol: quote.symbol, rate: quoteChangeRate(quote) }))
    .filter((each): each is { symbol: string; rate: number } => each.rate !== null)
    .sort((one, other) => other.rate - one.rate || (one.symbol < other.symbol ? -1 : 1));
  const traded = byActivity(all, instruments).filter((quote) => tradedValue(quote) > 0);
  const groups = Map.groupBy(rated, ({ symbol }) => instruments.get(symbol)?.sector ?? "");
  return {
    gainers: symbolsOf(rated.filter(({ rate }) => rate > 0)),
    losers: symbolsOf(rated.filter(({ rate }) => rate < 0).reverse()),
    active: symbolsOf(traded),
    breadth: breadthOf(rated),
    sectors: [...groups].map(([name, members]) => sectorSummary(name, members)).sort(byMeanRate),
  };
}

const symbolsOf = (all: readonly { symbol: string }[]): string[] =>
  all.slice(0, MAX_MOVERS).map(({ symbol }) => symbol);

function breadthOf(all: readonly { rate: number }[]): Breadth {
  const rising = all.filter(({ rate }) => rate > 0).length;
  const falling = all.filter(({ rate }) => rate < 0).length;
  return { rising, falling, unchanged: all.length - rising - falling };
}

function sectorSummary(name: string, members: readonly { rate: number }[]): SectorSummary {
  const sum = members.reduce((total, { rate }) => total + rate, 0);
  return { name, ...breadthOf(members), meanRate: members.length > 0 ? sum / members.length : null };
}

const byMeanRate = (one: SectorSummary, other: SectorSummary): number => (other.meanRate ?? 0) - (one.meanRate ?? 0);
