import { useEffect, useState } from "preact/hooks";
import type { Command } from "../api/types";
import { NONE } from "../format/numbers";
import { duration } from "../format/times";
import { Fact } from "../shell/Fact";
import { words } from "../words";
import { Refused } from "./Refused";
import { Seek } from "./Seek";
import { Speed } from "./Speed";
import { marketTime, may, order, simulator } from "./simulator";

/** How the market is; start, hold, step and the like. */
export function Control() {
  const { market: say, feed } = words.value;
  const { state = "waiting", behind = 0, halted = [], feed: name, notice } = simulator.value ?? {};
  return (
    <section class="card control">
      <h2>{say.control}</h2>
      <p class="big" data-state={state} role="status">
        {feed[state]} <small>{name}</small>
      </p>
      {notice && <p class="notice">{notice}</p>}
      <dl>
        <Clock />
        {behind > 0 && <Fact name={say.behind}>{duration(behind * 1000)}</Fact>}
        {halted.length > 0 && <Fact name={say.symbolsHalted}>{halted.join(", ")}</Fact>}
      </dl>
      <Buttons />
      <Speed />
      <Seek />
      <Refused of="control" />
    </section>
  );
}

/** The market's time; it goes on between two answers of the server. */
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

function Buttons() {
  const { market: say } = words.value;
  const [steps, setSteps] = useState(1);
  return (
    <div class="buttons">
      <Give command="START" />
      <Give command="PAUSE" />
      <Give command="RESUME" />
      <Give command="STOP" />
      <span class="step">
        <Give command="STEP" as={`STEP=${steps}`} />
        <input
          type="number"
          aria-label={say.steps}
          min={1}
          max={1_000_000}
          value={steps}
          disabled={!may("STEP")}
          aria-describedby="reason"
          onInput={({ currentTarget }) => setSteps(Math.max(1, Math.round(currentTarget.valueAsNumber || 1)))}
        />
      </span>
    </div>
  );
}

/** What one is likely to want next, for each state. */
const NEXT = { running: "PAUSE", waiting: "PAUSE", stale: "PAUSE", paused: "RESUME", halted: "START" } as const;

interface Giving {
  command: Exclude<Command, "SPEED" | "SEEK">;
  as?: Command | `STEP=${number}`;
}

function Give({ command, as = command }: Giving) {
  const { commands, hints } = words.value.market;
  const next = NEXT[simulator.value?.state ?? "running"] === command;
  return (
    <button
      type="button"
      class={next ? "main" : ""}
      title={hints[command]}
      disabled={!may(command)}
      aria-describedby="reason"
      onClick={() => void order(as)}
    >
      {commands[command]}
    </button>
  );
}
