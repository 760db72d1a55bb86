import { starredSymbols, toggleStar } from "../board/watchlists";
import type { CandleHistory } from "../chart/candleHistory";
import { haltedSymbols, instruments, stale } from "../live/marketData";
import { oneOf, pref } from "../shell/prefs";
import { href } from "../shell/route";
import { instrumentName, words } from "../words";
import { QuoteFacts } from "./QuoteFacts";
import { TradeList } from "./TradeList";
import { Watchlist } from "./Watchlist";
import "./quotepanel.css";

const parts = ["watchlist", "trades"] as const;
const shownPart = pref<(typeof parts)[number]>("panel.part", "watchlist", oneOf(...parts));

interface QuotePanelProps {
  symbol: string;
  /** The data of the chart, with the newest quote; undefined while the chart loads. */
  history: CandleHistory | undefined;
  /** The address of the chart of another symbol. */
  address: (symbol: string) => string;
}

/** The panel beside the charts: all values of one quote, and below a watchlist or the trades of the symbol. */
export function QuotePanel({ symbol, history, address }: QuotePanelProps) {
  const { panel, board } = words.value;
  const starred = starredSymbols.value.has(symbol);
  // The values come from the stream of the chart.
  const staleByStream = history && history.connection.value !== "open" ? "connection" : undefined;
  return (
    <aside
      class="quote-panel"
      aria-label={panel.title(symbol)}
      data-stale={stale.value ?? staleByStream ?? (haltedSymbols.value.has(symbol) ? "halted" : undefined)}
    >
      <header>
        <h2>
          {symbol} <small>{instrumentName(instruments.value.get(symbol))}</small>
        </h2>
        <a class="button" href={href("alerts", [], { symbol })} title={panel.alertAbout}>
          {panel.alert}
        </a>
        <button
          type="button"
          class="icon star"
          aria-pressed={starred}
          aria-label={starred ? board.unstar(symbol) : board.star(symbol)}
          onClick={() => toggleStar(symbol)}
        >
          {starred ? "★" : "☆"}
        </button>
      </header>
      <QuoteFacts symbol={symbol} quote={history?.quote} />
      <fieldset class="parts-switch">
        <legend class="visually-hidden">{panel.parts}</legend>
        {parts.map((part) => (
          <button
            key={part}
            type="button"
            aria-pressed={shownPart.value === part}
            onClick={() => {
              shownPart.value = part;
            }}
          >
            {panel.partOf[part]}
          </button>
        ))}
      </fieldset>
      {shownPart.value === "watchlist" ? (
        <Watchlist current={symbol} address={address} />
      ) : (
        <TradeList key={symbol} symbol={symbol} />
      )}
    </aside>
  );
}
