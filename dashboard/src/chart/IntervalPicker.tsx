import { words } from "../words";
import { intervals } from "./intervals";
import type { ChartKind } from "./panes";

const kinds: readonly ChartKind[] = ["intraday", ...intervals];

/** The radio buttons that choose the interval of the candles, or the line of the session. */
export function IntervalPicker({ kind, choose }: { kind: ChartKind; choose: (kind: ChartKind) => void }) {
  const { chart } = words.value;
  return (
    <fieldset class="intervals">
      <legend class="visually-hidden">{chart.interval}</legend>
      {kinds.map((each) => (
        <label key={each}>
          <input type="radio" name="interval" value={each} checked={each === kind} onChange={() => choose(each)} />
          <span>{each === "intraday" ? chart.intervals.intraday : each}</span>
        </label>
      ))}
    </fieldset>
  );
}
