import type { ComponentChildren } from "preact";
import { elapsed } from "../format/times";
import { words } from "../words";
import { MetricChart, type SampleLine } from "./MetricChart";
import { pointedSample, sampleMs } from "./metrics";
import type { Level } from "./thresholds";

interface MetricTileProps {
  name: string;
  value: string;
  note?: ComponentChildren;
  lines?: readonly SampleLine[]; // its history
  format?: (value: number | null) => string;
  /** The level of the present value. */
  level?: Level;
}

/** A metric and its chart. While the pointer is on any chart, every tile shows its value at that time. */
export function MetricTile({
  name,
  value,
  note,
  lines = [],
  format: labels = String,
  level = "good",
}: MetricTileProps) {
  const { operations } = words.value;
  const length = lines[0]?.length ?? 0;
  const at = pointedSample.value !== null && pointedSample.value < length ? pointedSample.value : null;
  const past = lines.map((line) => labels(line.at(-1 - (at ?? 0)) ?? null)).join(" / ");
  const peak = operations.peak(labels(Math.max(0, ...lines.flat().map((each) => each ?? 0))));
  return (
    <div class="tile" role="group" aria-label={name} data-level={level}>
      <h2>{name}</h2>
      <output data-past={at !== null}>{at === null ? value : past}</output>
      <small>
        {at === null ? note : operations.ago(elapsed((at * sampleMs.value) / 1000))}
        {at === null && level !== "good" && <strong class="level"> {operations.levels[level]}</strong>}
      </small>
      {length > 0 && <small class="peak">{peak}</small>}
      {lines.length > 0 && <MetricChart lines={lines} label={`${name}: ${peak}`} />}
    </div>
  );
}
