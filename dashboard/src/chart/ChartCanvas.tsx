import { useEffect, useRef, useState } from "preact/hooks";
import { instruments, mode, quotes } from "../live/marketData";
import { href, navigate } from "../shell/route";
import { instrumentName, words } from "../words";
import { Legend } from "./Legend";
import type { LiveChart } from "./liveChart";
import type { Pane } from "./panes";
import { similarSymbols } from "./similarSymbols";

/** The delay before another attempt to load the charting library. */
const RETRY_MS = 5_000;

/** One chart: its drawing area, its legend, and its notices. The charting library is loaded with the first chart. */
export function ChartCanvas({ pane, onChart }: { pane: Pane; onChart: (chart: LiveChart | null) => void }) {
  const { symbol, kind, compare } = pane;
  const box = useRef<HTMLDivElement>(null);
  const [chart, setChart] = useState<LiveChart | "failed" | null>(null);
  const [attempt, setAttempt] = useState(0);
  // Screen readers announce the bar that the user selects with the keys.
  const [announcement, setAnnouncement] = useState("");
  useEffect(() => {
    let newChart: LiveChart | null = null;
    let unmounted = false;
    import("./liveChart").then(
      ({ LiveChart }) => {
        if (unmounted || !box.current) return;
        newChart = new LiveChart(box.current, { symbol, kind, compare });
        setChart(newChart);
        onChart(newChart);
      },
      () => unmounted || setChart("failed"),
    );
    return () => {
      unmounted = true;
      if (newChart) onChart(null);
      newChart?.close();
    };
  }, [symbol, kind, compare, attempt, onChart]);
  useEffect(() => {
    if (chart !== "failed") return;
    const timer = window.setTimeout(() => setAttempt(attempt + 1), RETRY_MS);
    return () => window.clearTimeout(timer);
  }, [chart, attempt]);
  const { chart: labels, shell } = words.value;
  const live = chart === "failed" ? null : chart;
  return (
    <div
      class="chart-area"
      data-kind={kind}
      data-stale={live && live.history.connection.value !== "open" ? "connection" : undefined}
    >
      <div
        class="canvas prices"
        ref={box}
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: keys move the crosshair
        tabIndex={0}
        aria-label={labels.label(symbol, labels.intervals[kind])}
        aria-describedby="chart-keys"
        onDblClick={({ offsetX, offsetY }) => {
          const price = live?.priceAt(offsetX, offsetY);
          if (price != null) navigate("alerts", [], { symbol, price: String(price) });
        }}
        onKeyDown={(event) => {
          if (event.ctrlKey || event.metaKey || event.altKey) return;
          if (!live?.handleKey(event.key, event.shiftKey)) return;
          event.preventDefault();
          setAnnouncement(live.describePointed());
        }}
      />
      <p class="visually-hidden" role="status">
        {announcement}
      </p>
      {live && <Legend chart={live} compare={compare} />}
      {live && <Notice chart={live} />}
      {live && !live.atEnd.value && (
        <button type="button" class="to-newest" onClick={() => live.scrollToNewest()}>
          {labels.newest} <span aria-hidden="true">→</span>
        </button>
      )}
      {chart === "failed" && (
        <div class="note over" role="alert">
          <p>{shell.failed}</p>
          <button type="button" onClick={() => setAttempt(attempt + 1)}>
            {shell.retry}
          </button>
        </div>
      )}
    </div>
  );
}

/** The reason why the chart is empty. */
function Notice({ chart }: { chart: LiveChart }) {
  const state = chart.history.state.value;
  const { chart: labels, shell } = words.value;
  if (state === "shown") return null;
  if (state === "loading") return <p class="note over">{shell.loading}</p>;
  const known = instruments.value.has(chart.symbol) || quotes.has(chart.symbol);
  const text =
    state === "refused" ? labels.refused : known ? labels.noTrades(chart.symbol) : labels.unknown(chart.symbol);
  return (
    <div class="note over" role="status">
      <p>{text}</p>
      {state === "unknown" && !known && <SimilarSymbols chart={chart} />}
      <p>
        {state === "refused"
          ? chart.history.serverMessage.value
          : mode.value === "live"
            ? labels.startsWithTrade
            : labels.startsIfExists}
      </p>
    </div>
  );
}

/** Links to symbols whose names are similar to an unknown symbol. */
function SimilarSymbols({ chart: { symbol, interval } }: { chart: LiveChart }) {
  const similar = similarSymbols(symbol, [...instruments.value.keys(), ...quotes.keys()]);
  if (similar.length === 0) return null;
  return (
    <p class="similar">
      {words.value.chart.didYouMean}
      {similar.map((each) => (
        <a key={each} href={href("chart", [each, interval])} title={instrumentName(instruments.value.get(each))}>
          {each}
        </a>
      ))}
    </p>
  );
}
