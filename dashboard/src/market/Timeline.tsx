import { useEffect, useState } from "preact/hooks";
import type { Recording } from "../api/types";
import { words } from "../words";
import { changeText } from "./ChangeLog";
import { type FeedChange, feedChanges } from "./feedChanges";
import { canSend, marketTime, sendCommand, simulator } from "./simulator";
import { pauseShares, recordedTime, shareAt } from "./timeline";

const REFRESH_MS = 250;
const SECOND_MICROS = 1_000_000;

/** The bar over a whole recording: the position, the pauses, and the changes of the feed. Dragging it seeks. */
export function Timeline() {
  const recording = simulator.value?.recording;
  return recording ? <Bar recording={recording} /> : null;
}

function Bar({ recording }: { recording: Recording }) {
  const { market: labels } = words.value;
  // The time that the user drags to.
  const [dragged, setDragged] = useState<number | null>(null);
  useRefresh();
  const now = marketTime();
  const position = now === null ? recording.start : recordedTime(now * 1000, recording);
  const shown = Math.min(recording.end, Math.max(recording.start, dragged ?? position));
  return (
    <section class="timeline" aria-label={labels.timeline}>
      <input
        type="range"
        aria-label={labels.position}
        aria-valuetext={utc(shown)}
        aria-describedby="reason"
        min={recording.start}
        max={recording.end}
        // An arrow key moves by a hundredth of the recording, but by at least one second.
        step={Math.max(SECOND_MICROS, (recording.end - recording.start) / 100)}
        value={shown}
        disabled={!canSend("SEEK")}
        onInput={({ currentTarget }) => setDragged(currentTarget.valueAsNumber)}
        onChange={({ currentTarget }) => {
          const time = new Date(currentTarget.valueAsNumber / 1000).toISOString();
          void sendCommand(`SEEK=${time}`).then(() => setDragged(null));
        }}
      />
      <div class="marks" aria-hidden="true">
        {pauseShares(recording).map(({ from, to }) => (
          <i key={from} class="pause" style={{ left: `${from * 100}%`, width: `${(to - from) * 100}%` }} />
        ))}
        {feedChanges.value.map((change) => (
          <Mark key={change.id} change={change} recording={recording} />
        ))}
      </div>
      <p class="numbers">
        <small>{utc(recording.start)}</small>
        <output>{utc(shown)}</output>
        <small>{utc(recording.end)}</small>
      </p>
      {recording.pauses.length > 0 && <small>{labels.pauses(recording.pauses.length)}</small>}
      {recording.shifted_days > 0 && <p class="shifted">{labels.shifted(recording.shifted_days)}</p>}
    </section>
  );
}

/** A change of the feed, at the time in the recording when it happened. */
function Mark({ change, recording }: { change: FeedChange; recording: Recording }) {
  const { marketTime: time } = change;
  const share = time === null ? null : shareAt(recordedTime(time * 1000, recording), recording);
  if (share === null) return null;
  return <i class="change" style={{ left: `${share * 100}%` }} title={changeText(change)} />;
}

function useRefresh(): void {
  const [, refresh] = useState(0);
  useEffect(() => {
    const timer = window.setInterval(() => refresh((count) => count + 1), REFRESH_MS);
    return () => window.clearInterval(timer);
  }, []);
}

const utc = (micros: number): string => new Date(micros / 1000).toISOString().slice(0, 19).replace("T", " ");
