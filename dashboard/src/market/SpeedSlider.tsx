import { useState } from "preact/hooks";
import { words } from "../words";
import { canSend, sendCommand, simulator } from "./simulator";

/** The speeds of the slider, in market seconds per second. 0 plays without waiting. */
const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1000, 0];

export function SpeedSlider() {
  const { market: labels } = words.value;
  const speed = simulator.value?.speed ?? 1;
  const [dragged, setDragged] = useState<number | null>(null);
  const shown = dragged === null ? speed : (SPEEDS[dragged] ?? 1);
  const text = shown === 0 ? labels.maxSpeed : `${shown}×`;
  return (
    <label class="speed">
      <span>{labels.speed}</span>
      <input
        type="range"
        min={0}
        max={SPEEDS.length - 1}
        value={dragged ?? nearest(speed)}
        aria-valuetext={text}
        disabled={!canSend("SPEED")}
        aria-describedby="reason"
        onInput={({ currentTarget }) => setDragged(currentTarget.valueAsNumber)}
        onChange={({ currentTarget }) => {
          void sendCommand(`SPEED=${SPEEDS[currentTarget.valueAsNumber]}`).then(() => setDragged(null));
        }}
      />
      <output>{text}</output>
    </label>
  );
}

/** Return the index of the nearest speed. The command line can set a speed that the slider does not have. */
function nearest(speed: number): number {
  if (speed === 0) return SPEEDS.length - 1;
  const distances = SPEEDS.map((each) => (each === 0 ? Number.POSITIVE_INFINITY : Math.abs(Math.log(each / speed))));
  return distances.indexOf(Math.min(...distances));
}
