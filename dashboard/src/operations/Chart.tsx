import { pointed, samples, shown } from "./figures";

export type Line = readonly (number | null)[]; // one a sample, the newest last

const HEIGHT = 40;

/** Lines over the time that is shown, from zero up; the newest is at the right. */
export function Chart({ lines, label }: { lines: readonly Line[]; label: string }) {
  const last = shown.value - 1;
  const most = Math.max(0, ...lines.flat().map((value) => value ?? 0)) || 1;
  const at = pointed.value !== null && pointed.value < samples.value.ts.length ? pointed.value : null;
  return (
    <svg
      class="chart"
      viewBox={`0 -2 ${last} ${HEIGHT + 4}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
      onPointerMove={({ currentTarget, offsetX }) => {
        pointed.value = Math.round((1 - offsetX / currentTarget.clientWidth) * last);
      }}
      onPointerLeave={() => {
        pointed.value = null;
      }}
    >
      <path class="ground" d={`M0 ${HEIGHT}H${last}`} />
      {lines.map((line, place) => (
        <path key={place} class="line" d={drawn(line, last, most)} />
      ))}
      {at !== null && <path class="at" d={`M${last - at} -2V${HEIGHT + 2}`} />}
    </svg>
  );
}

/** Where nothing was measured the line has a hole; a sample between two holes is a dot. */
function drawn(line: Line, last: number, most: number): string {
  const first = last - line.length + 1;
  const points = line.map((value, place) => {
    if (value === null) return "";
    const point = `${first + place} ${(HEIGHT * (1 - value / most)).toFixed(2)}`;
    return (line[place - 1] ?? null) === null ? `M${point}h0` : `L${point}`;
  });
  return points.join("");
}
