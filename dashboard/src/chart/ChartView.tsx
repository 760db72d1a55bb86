import { signal } from "@preact/signals";
import { useCallback, useEffect, useMemo, useRef } from "preact/hooks";
import { haltedSymbols, instruments, quotes, stale, symbolCount } from "../live/marketData";
import { byActivity } from "../live/tradedValue";
import { QuotePanel } from "../quotepanel/QuotePanel";
import { isText, oneOf, pref } from "../shell/prefs";
import { href, navigate, route } from "../shell/route";
import { setTitleSymbol } from "../shell/title";
import { locale, words } from "../words";
import { ChartCanvas } from "./ChartCanvas";
import { ChartToolbar } from "./ChartToolbar";
import { panelShown } from "./chartSettings";
import { intervals } from "./intervals";
import type { LiveChart } from "./liveChart";
import { type ChartKind, type Pane, paneAddress, parsePanes, resized } from "./panes";
import "./chart.css";

const lastSymbol = pref<string>("chart.symbol", "", isText);
const lastKind = pref<ChartKind>("chart.interval", "1m", oneOf<ChartKind>(...intervals, "intraday"));
const lastMore = pref<string>("chart.more", "", isText);
/** The index of the chart that the toolbar and the quote panel belong to. */
const activeIndex = signal(0);

/** The view at `#/chart/AAPL/1m`: one, two or four charts. Without a symbol, the view opens the last symbol. */
export default function ChartView() {
  const { path, query } = route.value;
  const panes = parsePanes(path, query, { kind: lastKind.value, more: lastMore.value });
  // The symbol of the first visit depends on the symbols that have traded so far.
  void symbolCount.value;
  useRememberedPanes(panes);
  const active = Math.min(activeIndex.value, panes.length - 1);
  const shown = panes[active] as Pane;
  const section = useRef<HTMLElement>(null);
  const charts = useMemo(() => signal<readonly (LiveChart | null)[]>([]), []);
  useEffect(() => setTitleSymbol(shown.symbol), [shown.symbol]);
  useEffect(() => () => setTitleSymbol(""), []);
  const change = (pane: Pane): void => open(panes.map((each, index) => (index === active ? pane : each)));
  return (
    <section
      ref={section}
      class="candles"
      data-stale={stale.value ?? (haltedSymbols.value.has(shown.symbol) ? "halted" : undefined)}
    >
      <h1 class="visually-hidden">
        {words.value.views.chart} {shown.symbol}
      </h1>
      <ChartToolbar
        pane={shown}
        count={panes.length}
        view={section}
        onChange={change}
        onCount={(count) => open(resized(panes, count, busiestSymbols()))}
      />
      <p id="chart-keys" class="visually-hidden">
        {words.value.chart.keyboardHelp}
      </p>
      <div class="chart-body" data-panel={panelShown.value || undefined}>
        {shown.symbol ? (
          <div class="panes" data-count={panes.length}>
            {panes.map((pane, index) => (
              <PaneBox key={index} pane={pane} index={index} single={panes.length === 1} charts={charts} />
            ))}
          </div>
        ) : (
          <p class="note">{words.value.chart.noSymbol}</p>
        )}
        {panelShown.value && shown.symbol && (
          <QuotePanel
            symbol={shown.symbol}
            history={charts.value[active]?.history}
            address={(symbol) => address(panes.map((each, index) => (index === active ? { ...each, symbol } : each)))}
          />
        )}
      </div>
      <Attribution />
    </section>
  );
}

const open = (panes: readonly Pane[]): void => {
  const { path, query } = paneAddress(panes);
  navigate("chart", path, query);
};

const address = (panes: readonly Pane[]): string => {
  const { path, query } = paneAddress(panes);
  return href("chart", path, query);
};

/** Store the charts for the next visit. Without a symbol in the address, open the charts of the last visit. */
function useRememberedPanes(panes: readonly Pane[]): void {
  const [first] = panes;
  const { symbol = "", kind = "1m" } = first ?? {};
  const defaultSymbol = symbol ? "" : lastSymbol.value || (busiestSymbols()[0] ?? "");
  const more = paneAddress(panes).query.more ?? "";
  useEffect(() => {
    if (defaultSymbol) location.replace(href("chart", [defaultSymbol, kind], more ? { more } : {}));
    if (!symbol) return;
    lastSymbol.value = symbol;
    lastKind.value = kind;
    lastMore.value = more;
  }, [symbol, kind, more, defaultSymbol]);
}

/** Return the most active symbols. The chart of the first visit shows the first of these symbols. */
const busiestSymbols = (): string[] =>
  byActivity(quotes.values(), instruments.value)
    .slice(0, 8)
    .map(({ symbol }) => symbol);

interface PaneBoxProps {
  pane: Pane;
  index: number;
  single: boolean;
  charts: { value: readonly (LiveChart | null)[] };
}

/** The place of one chart. With several charts, each has a title, and a click or the focus activates a chart. */
function PaneBox({ pane, index, single, charts }: PaneBoxProps) {
  const { chart: labels } = words.value;
  const onChart = useCallback(
    (chart: LiveChart | null) => {
      const next = [...charts.value];
      next[index] = chart;
      charts.value = next;
    },
    [charts, index],
  );
  const activate = (): void => {
    activeIndex.value = index;
  };
  const active = !single && activeIndex.value === index;
  return (
    <div class="pane" data-active={active || undefined} onPointerDownCapture={activate} onFocusCapture={activate}>
      {!single && (
        <h2 class="pane-title">
          {pane.symbol} <small>{labels.intervals[pane.kind]}</small>
        </h2>
      )}
      <ChartCanvas key={`${pane.symbol} ${pane.kind} ${pane.compare} ${locale.value}`} pane={pane} onChart={onChart} />
    </div>
  );
}

/**
 * The notice and the link that the licence of the charting library requires. The browser requests the linked page only
 * after a click.
 */
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
