import { words } from "../words";
import { indicators, shownIndicators, toggleIndicator } from "./chartSettings";
import type { Pane } from "./panes";
import { SymbolPicker } from "./SymbolPicker";

/** The panel that chooses the indicators of all charts and the compared symbol of the active one. */
export function IndicatorMenu({ pane, onChange }: { pane: Pane; onChange: (pane: Pane) => void }) {
  const { chart: labels } = words.value;
  const count = shownIndicators.value.length + Number(pane.compare !== "");
  return (
    <>
      <button type="button" class="indicators-button" popovertarget="indicators">
        {labels.indicators} {count > 0 && <small>{count}</small>}
      </button>
      <div id="indicators" class="panel indicators" popover="auto">
        <fieldset>
          <legend>{labels.indicators}</legend>
          {indicators.map((name) => (
            <label key={name}>
              <input
                type="checkbox"
                checked={shownIndicators.value.includes(name)}
                onChange={() => toggleIndicator(name)}
              />
              {labels.indicatorOf[name]}
            </label>
          ))}
        </fieldset>
        <div class="compare">
          <label for="compare">{labels.compare}</label>
          <SymbolPicker
            key={`with ${pane.compare}`}
            id="compare"
            label={labels.compare}
            symbol={pane.compare}
            choose={(compare) => onChange({ ...pane, compare: compare === pane.symbol ? "" : compare })}
          />
          {pane.compare && (
            <button type="button" class="quiet" onClick={() => onChange({ ...pane, compare: "" })}>
              {labels.endComparison}
            </button>
          )}
        </div>
      </div>
    </>
  );
}
