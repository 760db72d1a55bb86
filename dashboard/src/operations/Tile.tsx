import { words } from "../words";
import { Chart, type Line } from "./Chart";
import { pointed } from "./figures";

interface Figure {
  name: string;
  value: string;
  note?: string;
  lines?: readonly Line[]; // of the last 15 minutes
  say?: (value: number | null) => string;
}

/** One figure, with how it was; while a moment is pointed at in any chart, what it was then. */
export function Tile({ name, value, note, lines, say = String }: Figure) {
  const { most } = words.value.operations;
  const past = lines && pointed.value !== null ? lines.map((line) => line.at(-1 - (pointed.value ?? 0)) ?? null) : null;
  const peaks = lines?.map((line) => say(Math.max(0, ...line.map((each) => each ?? 0)))) ?? [];
  return (
    <div class="tile" role="group" aria-label={name}>
      <h3>{name}</h3>
      <output class={past ? "past" : ""}>{past ? past.map(say).join(" / ") : value}</output>
      {note && <small>{note}</small>}
      {lines && <Chart lines={lines} label={`${name}: ${most(peaks.join(" / "))}`} />}
    </div>
  );
}
