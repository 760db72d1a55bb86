import { useEffect, useRef, useState } from "preact/hooks";
import { instruments, mode, quotes, stale, symbolCount } from "../live/market";
import { pref } from "../shell/prefs";
import { go, href, route } from "../shell/route";
import { locale, words } from "../words";
import { Intervals } from "./Intervals";
import { type Interval, intervals, isInterval } from "./intervals";
import { Legend } from "./Legend";
import type { LiveChart } from "./live";
import { near } from "./near";
import { Price } from "./Price";
import { SymbolPicker } from "./SymbolPicker";
import "./chart.css";

const lastSymbol = pref<string>("chart.symbol", "");
const lastInterval = pref<Interval>("chart.interval", "1m", intervals);

/** `#/chart/AAPL/1m`: the candles of a symbol. Without one in the path, those that were looked at last. */
export default function ChartView() {
  const [symbol = "", asked] = route.value.path;
  const interval = isInterval(asked) ? asked : lastInterval.value;
  void symbolCount.value; // the first symbol may have come
  const instead = symbol ? "" : lastSymbol.value || firstSymbol();
  useEffect(() => {
    if (instead) location.replace(href("chart", [instead, interval]));
    if (!symbol) return;
    lastSymbol.value = symbol;
    lastInterval.value = interval;
  }, [symbol, interval, instead]);
  return (
    <section class="candles" data-stale={stale.value ?? undefined}>
      <h1 class="unseen">
        {words.value.views.chart} {symbol}
      </h1>
      <div class="toolbar">
        <SymbolPicker key={`of ${symbol}`} symbol={symbol} choose={(to) => go("chart", [to, interval])} />
        <span class="about">{instruments.value.get(symbol)?.name}</span>
        <Price key={`price of ${symbol}`} symbol={symbol} />
        <Intervals interval={interval} choose={(to) => symbol && go("chart", [symbol, to])} />
      </div>
      {symbol ? (
        <Drawn key={`${symbol} ${interval} ${locale.value}`} symbol={symbol} interval={interval} />
      ) : (
        <p class="note">{words.value.chart.noSymbol}</p>
      )}
      <Attribution />
    </section>
  );
}

/** Where nobody has chosen yet: the symbol with the most money in it today. */
function firstSymbol(): string {
  const turnover = (quote: { last: number | null; volume: number | null }) => (quote.last ?? 0) * (quote.volume ?? 0);
  const [first] = [...quotes.values()].sort((one, other) => turnover(other) - turnover(one));
  return first?.symbol ?? "";
}

/** The library that draws is loaded when the first chart is looked at. */
function Drawn({ symbol, interval }: { symbol: string; interval: Interval }) {
  const box = useRef<HTMLDivElement>(null);
  const [chart, setChart] = useState<LiveChart | "failed" | null>(null);
  const [attempt, setAttempt] = useState(0);
  const [said, setSaid] = useState(""); // of the bar that keys point at, to who cannot see it
  useEffect(() => {
    let made: LiveChart | null = null;
    let left = false;
    import("./live").then(
      ({ LiveChart }) => {
        if (left || !box.current) return;
        made = new LiveChart(box.current, symbol, interval);
        setChart(made);
      },
      () => left || setChart("failed"),
    );
    return () => {
      left = true;
      made?.close();
    };
  }, [symbol, interval, attempt]);
  const { chart: say, shell } = words.value;
  const live = chart === "failed" ? null : chart;
  return (
    <div class="drawn">
      <div
        class="canvas"
        ref={box}
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: keys move the crosshair
        tabIndex={0}
        aria-label={say.label(symbol, say.intervals[interval])}
        aria-describedby="chart-keys"
        onKeyDown={(event) => {
          if (event.ctrlKey || event.metaKey || event.altKey) return;
          if (!live?.key(event.key, event.shiftKey)) return;
          event.preventDefault();
          setSaid(live.told());
        }}
      />
      <p class="unseen" role="status">
        {said}
      </p>
      <p id="chart-keys" class="unseen">
        {say.keys}
      </p>
      {live && <Legend chart={live} />}
      {live && <Notice chart={live} />}
      {live && !live.atEnd.value && (
        <button type="button" class="to-end" onClick={() => live.toEnd()}>
          {say.toEnd} <span aria-hidden="true">→</span>
        </button>
      )}
      {chart === "failed" && (
        <div class="note over" role="alert">
          <p>{shell.failed}</p>
          <button type="button" onClick={() => setAttempt(attempt + 1)}>
            {shell.again}
          </button>
        </div>
      )}
    </div>
  );
}

/** Why there is nothing to see, while there is not. */
function Notice({ chart }: { chart: LiveChart }) {
  const state = chart.history.state.value;
  const { chart: say, shell } = words.value;
  if (state === "shown") return null;
  if (state === "loading") return <p class="note over">{shell.loading}</p>;
  const known = instruments.value.has(chart.symbol) || quotes.has(chart.symbol);
  const text = state === "refused" ? say.refused : known ? say.empty(chart.symbol) : say.unknown(chart.symbol);
  return (
    <div class="note over" role="status">
      <p>{text}</p>
      {state === "unknown" && !known && <Near chart={chart} />}
      <p>{state === "refused" ? chart.history.words.value : mode.value === "live" ? say.first : say.firstMade}</p>
    </div>
  );
}

/** What may have been meant, if anything comes near it. */
function Near({ chart: { symbol, interval } }: { chart: LiveChart }) {
  const found = near(symbol, [...instruments.value.keys(), ...quotes.keys()]);
  if (found.length === 0) return null;
  return (
    <p class="near">
      {words.value.chart.meant}
      {found.map((each) => (
        <a key={each} href={href("chart", [each, interval])} title={instruments.value.get(each)?.name ?? ""}>
          {each}
        </a>
      ))}
    </p>
  );
}

/** Asked for by the licence of the library: its notice, and a link, which nothing is asked of until one follows it. */
function Attribution() {
  return (
    <footer class="attribution">
      TradingView Lightweight Charts™ Copyright (c) 2026{" "}
      <a href="https://www.tradingview.com/" target="_blank" rel="noopener noreferrer">
        TradingView, Inc.
      </a>
    </footer>
  );
}
