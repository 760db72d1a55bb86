import { useEffect, useState } from "preact/hooks";
import type { Command } from "../api/types";
import { NONE } from "../format/numbers";
import { duration } from "../format/times";
import { Fact } from "../shell/Fact";
import { words } from "../words";
import { RequestError } from "./RequestError";
import { SeekForm } from "./SeekForm";
import { SpeedSlider } from "./SpeedSlider";
import { canSend, marketTime, sendCommand, simulator } from "./simulator";
import { Timeline } from "./Timeline";

/** The state of the feed, and the controls of its playback. */
export function PlaybackControls() {
  const { market: labels, feed } = words.value;
  const {
    state = "waiting",
    behind = 0,
    halted = [],
    feed: name,
    notice,
    notice_detail: detail,
  } = simulator.value ?? {};
  return (
    <section class="card control">
      <h2>{labels.control}</h2>
      <p class="big" data-state={state} role="status">
        {feed[state]} <small>{name}</small>
      </p>
      <dl>
        <Clock />
      </dl>
      <CommandButtons />
      <SpeedSlider />
      <SeekForm />
      {/*
       * The rows below the buttons appear and disappear. If they were above the buttons, a button would move away from
       * the pointer.
       */}
      {(behind > 0 || halted.length > 0) && (
        <dl>
          {behind > 0 && <Fact name={labels.behind}>{duration(behind * 1000)}</Fact>}
          {halted.length > 0 && <Fact name={labels.symbolsHalted}>{halted.join(", ")}</Fact>}
        </dl>
      )}
      <Timeline />
      {notice && <p class="notice">{detail ? `${notice}: ${detail}` : notice}</p>}
      <RequestError card="control" />
    </section>
  );
}

/** The market's time, extrapolated between two responses of the server. */
function Clock() {
  const [, again] = useState(0);
  useEffect(() => {
    const timer = window.setInterval(() => again((count) => count + 1), 250);
    return () => window.clearInterval(timer);
  }, []);
  const now = marketTime();
  const shown = now === null ? NONE : `${new Date(now).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  return <Fact name={words.value.market.time}>{shown}</Fact>;
}

function CommandButtons() {
  const { market: labels } = words.value;
  const [steps, setSteps] = useState(1);
  return (
    <div class="buttons">
      <CommandButton command="START" />
      <CommandButton command="PAUSE" />
      <CommandButton command="RESUME" />
      <CommandButton command="STOP" />
      <span class="step">
        <CommandButton command="STEP" as={`STEP=${steps}`} />
        <input
          type="number"
          aria-label={labels.steps}
          min={1}
          max={1_000_000}
          value={steps}
          disabled={!canSend("STEP")}
          aria-describedby="reason"
          onInput={({ currentTarget }) => setSteps(Math.max(1, Math.round(currentTarget.valueAsNumber || 1)))}
        />
      </span>
    </div>
  );
}

/** The command that a user most likely wants next, by state. */
const MAIN_COMMAND = {
  running: "PAUSE",
  waiting: "PAUSE",
  stale: "PAUSE",
  closed: "PAUSE",
  paused: "RESUME",
  halted: "START",
} as const;

interface CommandButtonProps {
  command: Exclude<Command, "SPEED" | "SEEK">;
  as?: Command | `STEP=${number}`;
}

function CommandButton({ command, as = command }: CommandButtonProps) {
  const { commands, hints } = words.value.market;
  const next = MAIN_COMMAND[simulator.value?.state ?? "running"] === command;
  return (
    <button
      type="button"
      class={next ? "main" : ""}
      title={hints[command]}
      disabled={!canSend(command)}
      aria-describedby="reason"
      onClick={() => void sendCommand(as)}
    >
      {commands[command]}
    </button>
  );
}
