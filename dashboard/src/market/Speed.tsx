import { useState } from "preact/hooks";
import { words } from "../words";
import { may, order, simulator } from "./simulator";

/** Market seconds a second, as far as a slider has them; 0 does not wait. */
const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1000, 0];

export function Speed() {
  const { market: say } = words.value;
  const speed = simulator.value?.speed ?? 1;
  const [dragged, setDragged] = useState<number | null>(null);
  const shown = dragged === null ? speed : (SPEEDS[dragged] ?? 1);
  const text = shown === 0 ? say.unpaced : `${shown}×`;
  return (
    <label class="speed">
      <span>{say.speed}</span>
      <input
        type="range"
        min={0}
        max={SPEEDS.length - 1}
        value={dragged ?? nearest(speed)}
        aria-valuetext={text}
        disabled={!may("SPEED")}
        aria-describedby="reason"
        onInput={({ currentTarget }) => setDragged(currentTarget.valueAsNumber)}
        onChange={({ currentTarget }) => {
          void order(`SPEED=${SPEEDS[currentTarget.valueAsNumber]}`).then(() => setDragged(null));
        }}
      />
      <output>{text}</output>
    </label>
  );
}

/** The place of the speed that is nearest: somebody may have set another from the command line. */
function nearest(speed: number): number {
  if (speed === 0) return SPEEDS.length - 1;
  const distances = SPEEDS.map((each) => (each === 0 ? Number.POSITIVE_INFINITY : Math.abs(Math.log(each / speed))));
  return distances.indexOf(Math.min(...distances));
}
