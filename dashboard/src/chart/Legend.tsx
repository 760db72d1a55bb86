import { compact, percent, price, signed } from "../format/numbers";
import { words } from "../words";
import type { LiveChart } from "./live";

/** Open, high, low, close, volume and change of the bar under the crosshair, or of the newest. */
export function Legend({ chart }: { chart: LiveChart }) {
  const pointed = chart.legend.value;
  if (!pointed) return null;
  const { bar, before } = pointed;
  const { legend } = words.value.chart;
  const shown = (value: number): string => price(value, chart.decimals.value);
  const change = bar.close - (before?.close ?? bar.open);
  const rate = (change / (before?.close ?? bar.open)) * 100;
  return (
    <dl class={`legend numbers ${bar.close >= bar.open ? "up" : "down"}`}>
      <Entry name={legend.open} value={shown(bar.open)} />
      <Entry name={legend.high} value={shown(bar.high)} />
      <Entry name={legend.low} value={shown(bar.low)} />
      <Entry name={legend.close} value={shown(bar.close)} />
      <Entry
        name={legend.change}
        value={`${signed(change, chart.decimals.value)} (${percent(rate)})`}
        way={change >= 0 ? "up" : "down"}
      />
      <Entry name={legend.volume} value={compact(bar.volume)} />
    </dl>
  );
}

function Entry({
  name,
  value,
  way = "",
}: {
  name: readonly [string, string];
  value: string;
  way?: "up" | "down" | "";
}) {
  return (
    <div class={way}>
      <dt title={name[1]}>{name[0]}</dt>
      <dd>{value}</dd>
    </div>
  );
}
