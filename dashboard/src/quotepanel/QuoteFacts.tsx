import type { ReadonlySignal } from "@preact/signals";
import type { Quote } from "../api/types";
import { rangePosition } from "../board/columns";
import { decimalsFor } from "../board/decimals";
import { compact, NONE, price, quantity } from "../format/numbers";
import { shortTime } from "../format/times";
import { instruments, quotes } from "../live/marketData";
import { Fact } from "../shell/Fact";
import { words } from "../words";

/** The values of one quote, and the position of the last price in the range of the session. */
export function QuoteFacts({ symbol, quote }: { symbol: string; quote: ReadonlySignal<Quote | null> | undefined }) {
  const { fields } = words.value.screener;
  const full = quote?.value?.symbol === symbol ? quote.value : null;
  // Before the stream of the chart opens, the stream of the page has some of the values.
  const shown: Partial<Quote> = full ?? quotes.get(symbol) ?? {};
  const about = instruments.value.get(symbol);
  const decimals = full ? decimalsFor(full) : 2;
  const money = (value: number | null | undefined): string => price(value, decimals);
  const sized = (value: number | null | undefined, size: number | null | undefined) => (
    <>
      {money(value)} {size != null && <small>{quantity(size, about)}</small>}
    </>
  );
  return (
    <div class="quote-facts prices numbers">
      <dl class="book">
        <Fact name={fields.bid}>{sized(shown.bid, shown.bid_size)}</Fact>
        <Fact name={fields.ask}>{sized(shown.ask, shown.ask_size)}</Fact>
      </dl>
      <SessionRange quote={full} />
      <dl>
        <Fact name={fields.open}>{money(shown.open)}</Fact>
        <Fact name={words.value.chart.prevClose}>{money(shown.prev_close)}</Fact>
        <Fact name={fields.high}>{money(shown.high)}</Fact>
        <Fact name={fields.low}>{money(shown.low)}</Fact>
        <Fact name={fields.volume}>{quantity(shown.volume, about)}</Fact>
        <Fact name={fields.turnover}>{compact(shown.turnover)}</Fact>
        <Fact name={fields.vwap}>{money(shown.vwap)}</Fact>
        <Fact name={fields.pe}>{price(shown.pe, 2)}</Fact>
        <Fact name={fields.market_cap}>{compact(shown.market_cap)}</Fact>
        <Fact name={fields.currency}>{about?.currency ?? NONE}</Fact>
        <Fact name={fields.exchange}>{about?.exchange ?? NONE}</Fact>
        <Fact name={fields.ts}>{shown.ts === undefined ? NONE : shortTime(shown.ts / 1000)}</Fact>
      </dl>
    </div>
  );
}

/** The range of the session as a bar, with a mark at the last price. */
function SessionRange({ quote }: { quote: Quote | null }) {
  const position = quote && rangePosition(quote);
  if (!quote || position === null) return null;
  const decimals = decimalsFor(quote);
  return (
    <p class="session-range">
      <span class="visually-hidden">{words.value.board.range}</span>
      <small>{price(quote.low, decimals)}</small>
      <i class="bar" style={{ "--at": position }} aria-hidden="true" />
      <small>{price(quote.high, decimals)}</small>
    </p>
  );
}
