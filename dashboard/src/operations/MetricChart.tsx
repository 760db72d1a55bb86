import { chartSamples, pointedSample, samples } from "./metrics";

/** One value per sample, newest last. */
export type SampleLine = readonly (number | null)[];

const HEIGHT = 40;

/** A line chart from zero up; the newest sample is at the right. */
export function MetricChart({ lines, label }: { lines: readonly SampleLine[]; label: string }) {
  const last = chartSamples.value - 1;
  const max = Math.max(0, ...lines.flat().map((value) => value ?? 0)) || 1;
  const at = pointedSample.value !== null && pointedSample.value < samples.value.ts.length ? pointedSample.value : null;
  return (
    <svg
      class="chart"
      viewBox={`0 -2 ${last} ${HEIGHT + 4}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
      onPointerMove={({ currentTarget, offsetX }) => {
        pointedSample.value = Math.round((1 - offsetX / currentTarget.clientWidth) * last);
      }}
      onPointerLeave={() => {
        pointedSample.value = null;
      }}
    >
      <path class="ground" d={`M0 ${HEIGHT}H${last}`} />
      {lines.map((line, index) => (
        <path key={index} class="line" d={linePath(line, last, max)} />
      ))}
      {at !== null && <path class="at" d={`M${last - at} -2V${HEIGHT + 2}`} />}
    </svg>
  );
}

/** Return the SVG path of a line. A missing value leaves a gap; a value between two gaps is a dot. */
function linePath(line: SampleLine, last: number, max: number): string {
  const first = last - line.length + 1;
  const points = line.map((value, index) => {
    if (value === null) return "";
    const point = `${first + index} ${(HEIGHT * (1 - value / max)).toFixed(2)}`;
    return (line[index - 1] ?? null) === null ? `M${point}h0` : `L${point}`;
  });
  return points.join("");
}
