import { words } from "../words";
import { type Interval, intervals } from "./intervals";

/** Which candles; one of eight. */
export function Intervals({ interval, choose }: { interval: Interval; choose: (interval: Interval) => void }) {
  return (
    <fieldset class="intervals">
      <legend class="unseen">{words.value.chart.interval}</legend>
      {intervals.map((each) => (
        <label key={each}>
          <input type="radio" name="interval" value={each} checked={each === interval} onChange={() => choose(each)} />
          <span>{each}</span>
        </label>
      ))}
    </fieldset>
  );
}
