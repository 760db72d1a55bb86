import { useState } from "preact/hooks";
import { isAdmin } from "../api/rights";
import { words } from "../words";
import { canSend, marketTime, sendCommand, simulator } from "./simulator";

/** The form that moves the playback of a recording to another time. */
export function SeekForm() {
  const { market: labels } = words.value;
  const [initial] = useState(marketTime);
  const able = canSend("SEEK");
  const none = isAdmin.value && simulator.value?.mode === "simulated";
  return (
    <form
      class="seek"
      onSubmit={(event) => {
        event.preventDefault();
        void sendCommand(`SEEK=${new FormData(event.currentTarget).get("time")}Z`);
      }}
    >
      <label>
        <span>{labels.seek}</span>
        <input
          type="datetime-local"
          name="time"
          step={1}
          required
          disabled={!able}
          defaultValue={initial === null ? "" : new Date(initial).toISOString().slice(0, 19)}
          aria-describedby="reason no-seek"
        />
      </label>
      <button type="submit" disabled={!able} aria-describedby="reason no-seek">
        {labels.commands.SEEK}
      </button>
      <small id="no-seek">{none ? labels.noSeek : ""}</small>
    </form>
  );
}
