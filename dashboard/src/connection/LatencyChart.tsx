import { duration } from "../format/times";
import type { Percentiles } from "../live/latency";
import { words } from "../words";

const SPAN = 180_000; // ms
const WIDTH = 600;
const HEIGHT = 120;
const LEAST = 20; // ms at the top of the picture, or quiet times would look dramatic

interface Props {
  history: { begin: number; of: Percentiles }[];
  now: number;
}

/** Median and 99th percentile of the last three minutes. */
export function LatencyChart({ history, now }: Props) {
  const top = Math.max(LEAST, ...history.map(({ of }) => of.p99));
  const points = (value: (of: Percentiles) => number): string =>
    history
      .map(({ begin, of }) => {
        const x = WIDTH - ((now - begin) / SPAN) * WIDTH;
        return `${x.toFixed(1)},${(HEIGHT - (value(of) / top) * (HEIGHT - 4) - 1).toFixed(1)}`;
      })
      .join(" ");
  const label = words.value.connection.chart;
  return (
    <figure class="latency">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
        <path class="lines" d={`M0 1H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 1}H${WIDTH}`} />
        <polyline class="p99" points={points((of) => of.p99)} />
        <polyline class="p50" points={points((of) => of.p50)} />
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
