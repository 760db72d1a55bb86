import { useEffect, useState } from "preact/hooks";
import { percent } from "../format/numbers";
import { instruments, quotes, quotesForbidden, stale, symbolCount } from "../live/marketData";
import { QuoteList } from "../quotelist/QuoteList";
import { href } from "../shell/route";
import { sectorTitle, words } from "../words";
import { HeatMap } from "./HeatMap";
import { type Breadth, type MarketSummary, summarize } from "./marketSummary";
import "./overview.css";

/** A list that changes its order more often is hard to read. */
const REFRESH_MS = 2_000;

/** The view of the whole market: advancing and declining symbols, a heat map of the sectors, and the movers. */
export default function OverviewView() {
  const { overview: labels, views, board, rights } = words.value;
  const summary = useSummary();
  return (
    <section class="overview" data-stale={stale.value ?? undefined}>
      <h1 class="visually-hidden">{views.overview}</h1>
      {symbolCount.value === 0 ? (
        <p class="note">{quotesForbidden.value ? rights.noQuotes : board.waiting}</p>
      ) : (
        <>
          <section class="card breadth" aria-label={labels.breadth}>
            <BreadthBar breadth={summary.breadth} />
          </section>
          <HeatMap />
          <Sectors summary={summary} />
          <Movers title={labels.gainers} symbols={summary.gainers} sort="-rate" />
          <Movers title={labels.losers} symbols={summary.losers} sort="rate" />
          <Movers title={labels.active} symbols={summary.active} sort="-turnover" turnover />
        </>
      )}
    </section>
  );
}

/** Return a summary of the market that is computed again every two seconds. */
function useSummary(): MarketSummary {
  const [, refresh] = useState(0);
  useEffect(() => {
    const timer = window.setInterval(() => document.hidden || refresh((count) => count + 1), REFRESH_MS);
    return () => window.clearInterval(timer);
  }, []);
  return summarize(quotes.values(), instruments.value);
}

/** The numbers of rising, unchanged and falling symbols, and a bar with their shares. */
function BreadthBar({ breadth }: { breadth: Breadth }) {
  const { overview: labels } = words.value;
  return (
    <>
      <p class="breadth-numbers numbers">
        <strong class="up">{labels.rising(breadth.rising)}</strong>
        <span class="muted">{labels.unchanged(breadth.unchanged)}</span>
        <strong class="down">{labels.falling(breadth.falling)}</strong>
      </p>
      <div class="breadth-bar prices" aria-hidden="true">
        <i class="rising" style={{ flexGrow: breadth.rising }} />
        <i class="unchanged" style={{ flexGrow: breadth.unchanged }} />
        <i class="falling" style={{ flexGrow: breadth.falling }} />
      </div>
    </>
  );
}

function Sectors({ summary }: { summary: MarketSummary }) {
  const { overview: labels, board, market } = words.value;
  return (
    <section class="card sectors">
      <table class="plain">
        <caption>{labels.sectors}</caption>
        <thead>
          <tr>
            <th scope="col">{market.sector}</th>
            <th scope="col" class="number">
              {labels.meanChange}
            </th>
            <th scope="col" class="number">
              {labels.risingFalling}
            </th>
          </tr>
        </thead>
        <tbody class="prices">
          {summary.sectors.map(({ name, rising, falling, meanRate }) => (
            <tr key={name}>
              <th scope="row">
                {name ? <a href={href("board", [], { sector: name })}>{sectorTitle(name)}</a> : board.other}
              </th>
              <td class={`number ${(meanRate ?? 0) > 0 ? "up" : (meanRate ?? 0) < 0 ? "down" : ""}`}>
                {percent(meanRate)}
              </td>
              <td class="number">
                <span class="up">{rising}</span> / <span class="down">{falling}</span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface MoversProps {
  title: string;
  symbols: readonly string[];
  /** The order of the board that the link opens. */
  sort: string;
  turnover?: boolean;
}

function Movers({ title, symbols, sort, turnover = false }: MoversProps) {
  const { overview: labels } = words.value;
  return (
    <section class="card movers">
      <header>
        <h2>{title}</h2>
        <a href={href("board", [], { sort })} aria-label={labels.allOf(title)}>
          {labels.all}
        </a>
      </header>
      {symbols.length === 0 && <p class="muted">{labels.none}</p>}
      <QuoteList label={title} symbols={symbols} address={(symbol) => href("chart", [symbol])} turnover={turnover} />
    </section>
  );
}
