import type { Operations } from "../api/types";
import { bytes, count } from "../format/amounts";
import { compact, NONE } from "../format/numbers";
import { duration, elapsed } from "../format/times";
import { words } from "../words";
import { samples } from "./figures";
import { Tile } from "./Tile";

const ms = (value: number | null | undefined): string => (value == null ? NONE : duration(value));

/** The figures, and how they were in the last 15 minutes. Flows are of the newest sample. */
export function Tiles({ now }: { now: Operations }) {
  const { operations: say } = words.value;
  const past = samples.value;
  const flow = (value: number | null | undefined): string => (value == null ? NONE : say.perSecond(compact(value)));
  const volume = (value: number | null | undefined): string => (value == null ? NONE : say.perSecond(bytes(value)));
  const losses = (newest: number | null | undefined): string => say.now(flow(newest ?? 0));
  return (
    <div class="tiles">
      <Tile
        name={say.readers}
        value={count(now.readers)}
        note={say.ofReaders(count(now.max_readers), count(now.behind))}
        lines={[past.readers]}
        say={count}
      />
      <Tile name={say.deliveries} value={flow(past.deliveries.at(-1))} lines={[past.deliveries]} say={flow} />
      <Tile name={say.bytes} value={volume(past.bytes.at(-1))} lines={[past.bytes]} say={volume} />
      <Tile name={say.ticks} value={flow(past.ticks.at(-1))} lines={[past.ticks]} say={flow} />
      <Tile
        name={say.latency}
        value={`${ms(past.p50.at(-1))} / ${ms(past.p99.at(-1))}`}
        note={
          <>
            <span class="p50">p50</span> / <span class="p99">p99</span>
          </>
        }
        lines={[past.p50, past.p99]}
        say={ms}
      />
      <Tile name={say.lag} value={count(now.lag)} note={say.lagNote} lines={[past.lag]} say={count} />
      <Tile
        name={say.conflated}
        value={compact(now.totals.conflated)}
        note={losses(past.conflated.at(-1))}
        lines={[past.conflated]}
        say={flow}
      />
      <Tile
        name={say.gaps}
        value={compact(now.totals.gaps)}
        note={losses(past.gaps.at(-1))}
        lines={[past.gaps]}
        say={flow}
      />
      <Tile name={say.memory} value={bytes(now.memory)} lines={[past.memory]} say={bytes} />
      <Tile
        name={say.loopDelay}
        value={ms(past.loop_delay.at(-1))}
        note={say.loopDelayNote}
        lines={[past.loop_delay]}
        say={ms}
      />
      <Tile
        name={say.journal}
        value={bytes(now.journal.bytes)}
        note={say.ofJournal(now.journal.kind, count(now.journal.events))}
      />
      <Tile name={say.uptime} value={elapsed(now.uptime)} note={`Tickwire ${now.version} · ${now.head}`} />
    </div>
  );
}
