import type { Operations } from "../api/types";
import { NONE } from "../format/numbers";
import { duration } from "../format/times";
import { words } from "../words";
import { stages } from "./metrics";
import { levelOf } from "./thresholds";

const ms = (value: number | null): string => (value === null ? NONE : duration(value));

/** The time that a batch spends in each stage of the data path, in the last five seconds. */
export function StageTable({ now }: { now: Operations }) {
  const { operations: labels } = words.value;
  return (
    <table class="plain card stages">
      <caption>{labels.stages}</caption>
      <thead>
        <tr>
          <th scope="col">{labels.stage}</th>
          <th scope="col" class="number">
            p50
          </th>
          <th scope="col" class="number">
            p99
          </th>
        </tr>
      </thead>
      <tbody>
        {stages.map((stage) => (
          <tr key={stage} data-level={levelOf("latency", now.stages[stage].p99)}>
            <th scope="row">{labels.stageNames[stage]}</th>
            <td class="number">{ms(now.stages[stage].p50)}</td>
            <td class="number level">{ms(now.stages[stage].p99)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
