import { changeRate } from "../format/decimals";
import { percent, price, quantity, signed } from "../format/numbers";
import { instruments } from "../live/marketData";
import { words } from "../words";
import type { LiveChart } from "./liveChart";

/** Open, high, low, close, change and volume of the bar under the crosshair, or of the newest bar. */
export function Legend({ chart, compare }: { chart: LiveChart; compare: string }) {
  const pointed = chart.legend.value;
  if (!pointed) return null;
  const { bar, previous } = pointed;
  const { legend } = words.value.chart;
  const show = (value: number): string => price(value, chart.decimals.value);
  const change = bar.close - (previous?.close ?? bar.open);
  const rate = changeRate(previous?.close ?? bar.open, bar.close);
  return (
    <div class="legends">
      <dl class={`legend prices numbers ${bar.close >= bar.open ? "up" : "down"}`}>
        <Entry name={legend.open} value={show(bar.open)} />
        <Entry name={legend.high} value={show(bar.high)} />
        <Entry name={legend.low} value={show(bar.low)} />
        <Entry name={legend.close} value={show(bar.close)} />
        <Entry
          name={legend.change}
          value={`${signed(change, chart.decimals.value)} (${percent(rate)})`}
          direction={change >= 0 ? "up" : "down"}
        />
        <Entry name={legend.volume} value={quantity(bar.volume, instruments.value.get(chart.symbol))} />
      </dl>
      <IndicatorLegend chart={chart} />
      {compare && (
        <p class="compared">
          <i aria-hidden="true" /> {words.value.chart.comparedWith(compare)}
        </p>
      )}
    </div>
  );
}

/** The values of the indicators, each in the colour of its line. */
function IndicatorLegend({ chart }: { chart: LiveChart }) {
  const values = chart.indicatorValues.value;
  if (values.length === 0) return null;
  return (
    <dl class="indicator-legend prices numbers">
      {values.map(({ label, value, colour, decimals }) => (
        <div key={label}>
          <dt style={{ color: colour }}>{label}</dt>
          <dd>{price(value, decimals)}</dd>
        </div>
      ))}
    </dl>
  );
}

function Entry({
  name,
  value,
  direction = "",
}: {
  name: readonly [string, string];
  value: string;
  direction?: "up" | "down" | "";
}) {
  return (
    <div class={direction}>
      <dt title={name[1]}>{name[0]}</dt>
      <dd>{value}</dd>
    </div>
  );
}
