import type { ComponentChildren } from "preact";
import { elapsed } from "../format/times";
import { words } from "../words";
import { Chart, type Line } from "./Chart";
import { EVERY, pointed } from "./figures";

interface Figure {
  name: string;
  value: string;
  note?: ComponentChildren;
  lines?: readonly Line[]; // how it was
  say?: (value: number | null) => string;
}

/** One figure, and how it was; while a moment is pointed at in any of the charts, what it was then. */
export function Tile({ name, value, note, lines = [], say = String }: Figure) {
  const { operations } = words.value;
  const known = lines[0]?.length ?? 0;
  const at = pointed.value !== null && pointed.value < known ? pointed.value : null;
  const then = lines.map((line) => say(line.at(-1 - (at ?? 0)) ?? null)).join(" / ");
  const peak = operations.peak(say(Math.max(0, ...lines.flat().map((each) => each ?? 0))));
  return (
    <div class="tile" role="group" aria-label={name}>
      <h2>{name}</h2>
      <output data-past={at !== null}>{at === null ? value : then}</output>
      <small>{at === null ? note : operations.ago(elapsed((at * EVERY) / 1000))}</small>
      {known > 0 && <small class="peak">{peak}</small>}
      {lines.length > 0 && <Chart lines={lines} label={`${name}: ${peak}`} />}
    </div>
  );
}
