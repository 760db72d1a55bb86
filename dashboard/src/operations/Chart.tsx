import { KEPT, pointed } from "./figures";

export type Line = readonly (number | null)[]; // one a sample, the newest last

const HEIGHT = 40;

/** Lines over the last 15 minutes, from zero up, with room at the left for what is not known yet. */
export function Chart({ lines, label }: { lines: readonly Line[]; label: string }) {
  const most = Math.max(0, ...lines.flat().map((value) => value ?? 0)) || 1;
  const at = pointed.value;
  return (
    <svg
      class="chart"
      viewBox={`0 -2 ${KEPT - 1} ${HEIGHT + 4}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
      onPointerMove={({ currentTarget, offsetX }) => {
        pointed.value = Math.round((1 - offsetX / currentTarget.clientWidth) * (KEPT - 1));
      }}
      onPointerLeave={() => {
        pointed.value = null;
      }}
    >
      {lines.map((line, place) => (
        <path key={place} d={drawn(line, most)} />
      ))}
      {at !== null && <path class="at" d={`M${KEPT - 1 - at} -2V${HEIGHT + 2}`} />}
    </svg>
  );
}

function drawn(line: Line, most: number): string {
  let pen = "M";
  return line
    .map((value, place) => {
      if (value === null) {
        pen = "M";
        return "";
      }
      const point = `${pen}${KEPT - line.length + place} ${(HEIGHT * (1 - value / most)).toFixed(2)}`;
      pen = "L";
      return point;
    })
    .join("");
}
