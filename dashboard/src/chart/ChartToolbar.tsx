import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";
import { haltedSymbols, instruments } from "../live/marketData";
import { instrumentName, words } from "../words";
import { panelShown } from "./chartSettings";
import { IndicatorMenu } from "./IndicatorMenu";
import { IntervalPicker } from "./IntervalPicker";
import { LivePrice } from "./LivePrice";
import { LAYOUTS, type Layout, type Pane } from "./panes";
import { SymbolPicker } from "./SymbolPicker";

interface ChartToolbarProps {
  /** The active chart. */
  pane: Pane;
  /** The number of charts. */
  count: number;
  /** The element that the full screen shows. */
  view: RefObject<HTMLElement | null>;
  onChange: (pane: Pane) => void;
  onCount: (count: Layout) => void;
}

/** The toolbar of the view. Its controls change the active chart. */
export function ChartToolbar({ pane, count, view, onChange, onCount }: ChartToolbarProps) {
  const { symbol } = pane;
  const { chart: labels, board } = words.value;
  return (
    <div class="toolbar">
      <SymbolPicker
        key={`of ${symbol}`}
        id="symbol"
        label={labels.symbol}
        symbol={symbol}
        choose={(to) => onChange({ ...pane, symbol: to })}
      />
      <span class="about">{instrumentName(instruments.value.get(symbol))}</span>
      <LivePrice key={`price of ${symbol}`} symbol={symbol} />
      {/* The element is always present: screen readers announce only changes of an existing status element. */}
      <span class="halt" role="status">
        {haltedSymbols.value.has(symbol) && board.stale.halted}
      </span>
      <IntervalPicker kind={pane.kind} choose={(kind) => symbol && onChange({ ...pane, kind })} />
      <IndicatorMenu pane={pane} onChange={onChange} />
      <label class="layout">
        <span class="visually-hidden">{labels.layout}</span>
        <select value={count} onChange={(event) => onCount(Number(event.currentTarget.value) as Layout)}>
          {LAYOUTS.map((each) => (
            <option key={each} value={each}>
              {labels.charts(each)}
            </option>
          ))}
        </select>
      </label>
      <FullScreenButton view={view} />
      <button
        type="button"
        class="icon"
        aria-pressed={panelShown.value}
        aria-label={labels.panel}
        title={labels.panel}
        onClick={() => {
          panelShown.value = !panelShown.value;
        }}
      >
        <svg viewBox="0 0 20 20" width="16" height="16" aria-hidden="true">
          <path d="M3 4h14v12H3zM12 4v12" />
        </svg>
      </button>
    </div>
  );
}

/** The button that shows the view on the whole screen. Browsers on some phones cannot. */
function FullScreenButton({ view }: { view: RefObject<HTMLElement | null> }) {
  const [full, setFull] = useState(false);
  useEffect(() => {
    const follow = (): void => setFull(document.fullscreenElement !== null);
    document.addEventListener("fullscreenchange", follow);
    return () => document.removeEventListener("fullscreenchange", follow);
  }, []);
  if (!document.fullscreenEnabled) return null;
  const label = words.value.chart.fullScreen;
  const toggle = (): void => {
    void (full ? document.exitFullscreen() : view.current?.requestFullscreen());
  };
  return (
    <button type="button" class="icon" aria-pressed={full} aria-label={label} title={label} onClick={toggle}>
      <svg viewBox="0 0 20 20" width="16" height="16" aria-hidden="true">
        <path d="M3 8V3h5M12 3h5v5M17 12v5h-5M8 17H3v-5" />
      </svg>
    </button>
  );
}
