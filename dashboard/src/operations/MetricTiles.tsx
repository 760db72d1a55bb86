import type { Operations } from "../api/types";
import { byteSize, compact, NONE, wholeNumber } from "../format/numbers";
import { duration, elapsed } from "../format/times";
import { words } from "../words";
import { MetricTile } from "./MetricTile";
import { samples } from "./metrics";
import { levelOf, readersLevel } from "./thresholds";

const ms = (value: number | null | undefined): string => (value == null ? NONE : duration(value));

/** The newest metrics, each with a chart of its values in the chosen time span. The rates come from the newest sample. */
export function MetricTiles({ now }: { now: Operations }) {
  const { operations: labels } = words.value;
  const past = samples.value;
  const flow = (value: number | null | undefined): string => (value == null ? NONE : labels.perSecond(compact(value)));
  const volume = (value: number | null | undefined): string =>
    value == null ? NONE : labels.perSecond(byteSize(value));
  const losses = (newest: number | null | undefined): string => labels.now(flow(newest ?? 0));
  return (
    <div class="tiles">
      <MetricTile
        name={labels.readers}
        value={wholeNumber(now.readers)}
        note={labels.readersNote(wholeNumber(now.max_readers), wholeNumber(now.behind))}
        lines={[past.readers]}
        format={wholeNumber}
        level={readersLevel(now)}
      />
      <MetricTile
        name={labels.deliveries}
        value={flow(past.deliveries.at(-1))}
        lines={[past.deliveries]}
        format={flow}
      />
      <MetricTile name={labels.bytes} value={volume(past.bytes.at(-1))} lines={[past.bytes]} format={volume} />
      <MetricTile name={labels.ticks} value={flow(past.ticks.at(-1))} lines={[past.ticks]} format={flow} />
      <MetricTile
        name={labels.latency}
        value={`${ms(past.p50.at(-1))} / ${ms(past.p99.at(-1))}`}
        note={
          <>
            <span class="p50">p50</span> / <span class="p99">p99</span>
          </>
        }
        lines={[past.p50, past.p99]}
        format={ms}
        level={levelOf("latency", past.p99.at(-1))}
      />
      <MetricTile
        name={labels.lag}
        value={wholeNumber(now.lag)}
        note={labels.lagNote}
        lines={[past.lag]}
        format={wholeNumber}
        level={levelOf("lag", now.lag)}
      />
      <MetricTile
        name={labels.conflated}
        value={compact(now.totals.conflated)}
        note={losses(past.conflated.at(-1))}
        lines={[past.conflated]}
        format={flow}
      />
      <MetricTile
        name={labels.gaps}
        value={compact(now.totals.gaps)}
        note={losses(past.gaps.at(-1))}
        lines={[past.gaps]}
        format={flow}
        level={levelOf("gaps", past.gaps.at(-1))}
      />
      <MetricTile name={labels.memory} value={byteSize(now.memory)} lines={[past.memory]} format={byteSize} />
      <MetricTile
        name={labels.loopDelay}
        value={ms(past.loop_delay.at(-1))}
        note={labels.loopDelayNote}
        lines={[past.loop_delay]}
        format={ms}
        level={levelOf("loopDelay", past.loop_delay.at(-1))}
      />
      <MetricTile
        name={labels.journal}
        value={byteSize(now.journal.bytes)}
        note={labels.journalNote(now.journal.kind, wholeNumber(now.journal.events))}
      />
      <MetricTile name={labels.uptime} value={elapsed(now.uptime)} note={`Tickwire ${now.version} · ${now.head}`} />
    </div>
  );
}
