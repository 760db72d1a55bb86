import { duration } from "../format/times";
import type { Percentiles } from "../live/latencyHistogram";
import { words } from "../words";

const SPAN_MS = 180_000;
const WIDTH = 600;
const HEIGHT = 120;
/** The smallest maximum of the vertical scale. With a smaller maximum, low latencies would look dramatic. */
const MIN_SCALE_MS = 20;

interface Props {
  history: { begin: number; percentiles: Percentiles }[];
  now: number;
}

/** A chart of the median and the 99th percentile of the last three minutes. */
export function LatencyChart({ history, now }: Props) {
  const top = Math.max(MIN_SCALE_MS, ...history.map(({ percentiles }) => percentiles.p99));
  const points = (value: (percentiles: Percentiles) => number): string =>
    history
      .map(({ begin, percentiles }) => {
        const x = WIDTH - ((now - begin) / SPAN_MS) * WIDTH;
        return `${x.toFixed(1)},${(HEIGHT - (value(percentiles) / top) * (HEIGHT - 4) - 1).toFixed(1)}`;
      })
      .join(" ");
  const label = words.value.connection.chart;
  return (
    <figure class="latency">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
        <path class="lines" d={`M0 1H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 1}H${WIDTH}`} />
        <polyline class="p99" points={points(({ p99 }) => p99)} />
        <polyline class="p50" points={points(({ p50 }) => p50)} />
      </svg>
      <figcaption>
        <span class="p50">p50</span> <span class="p99">p99</span>
        <span class="spring" />
        <span>{label}</span>
        <span class="ceiling">{duration(top)}</span>
      </figcaption>
    </figure>
  );
}
