import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { BoardQuote } from "../api/types";
import { trendOf } from "../board/cells";
import { decimalsFor } from "../board/decimals";
import { quoteChangeRate } from "../format/decimals";
import { compact, percent, price } from "../format/numbers";
import { haltedSymbols, instruments, paintQueue, quotes } from "../live/marketData";
import { instrumentName, locale, words } from "../words";
import "./quotelist.css";

interface QuoteListProps {
  label: string;
  symbols: readonly string[];
  /** The address that a symbol links to. */
  address: (symbol: string) => string;
  current?: string;
  /** Show the traded value instead of the name. */
  turnover?: boolean;
}

/** A short table of symbols with their newest price and change, painted with every quote. */
export function QuoteList({ label, symbols, address, current = "", turnover = false }: QuoteListProps) {
  const body = useRef<HTMLTableSectionElement>(null);
  // The format of numbers depends on the language.
  void locale.value;
  useLayoutEffect(() => {
    for (const row of body.current?.rows ?? []) paint(row);
  });
  useEffect(
    () =>
      paintQueue.subscribe((changed) => {
        for (const row of body.current?.rows ?? []) if (changed.has(row.dataset.symbol ?? "")) paint(row);
      }),
    [],
  );
  const { board } = words.value;
  return (
    <table class="quote-list" aria-label={label}>
      {/* The hidden header takes no part in the layout, so these elements set the widths of the columns. */}
      <colgroup>
        <col class="symbol" />
        <col />
        <col class="last" />
        <col class="rate" />
      </colgroup>
      <thead class="visually-hidden">
        <tr>
          <th scope="col">{board.symbol}</th>
          <th scope="col">{turnover ? words.value.overview.turnover : board.name}</th>
          <th scope="col">{board.last}</th>
          <th scope="col">{board.rate}</th>
        </tr>
      </thead>
      <tbody ref={body} class="prices">
        {symbols.map((symbol) => (
          <tr
            key={symbol}
            data-symbol={symbol}
            data-stale={haltedSymbols.value.has(symbol) ? "halted" : undefined}
            aria-current={symbol === current || undefined}
          >
            <th scope="row">
              <a href={address(symbol)}>{symbol}</a>
            </th>
            <td class="detail" data-field={turnover ? "turnover" : undefined}>
              {turnover ? "" : instrumentName(instruments.value.get(symbol))}
            </td>
            <td data-field="last" />
            <td data-field="rate" />
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const texts: Record<string, (quote: BoardQuote) => string> = {
  last: (quote) => price(quote.last, decimalsFor(quote)),
  rate: (quote) => percent(quoteChangeRate(quote)),
  turnover: (quote) => compact(quote.turnover),
};

function paint(row: HTMLTableRowElement): void {
  const quote = quotes.get(row.dataset.symbol ?? "");
  if (!quote) return;
  const trend = trendOf(quote.change);
  if (row.className !== trend) row.className = trend;
  for (const cell of row.cells) {
    const text = texts[cell.dataset.field ?? ""]?.(quote);
    if (text !== undefined && cell.textContent !== text) cell.textContent = text;
  }
}
