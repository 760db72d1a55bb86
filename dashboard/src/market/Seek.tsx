import { useState } from "preact/hooks";
import { isAdmin } from "../api/rights";
import { words } from "../words";
import { marketTime, may, order, simulator } from "./simulator";

/** Another place in a recording. */
export function Seek() {
  const { market: say } = words.value;
  const [initial] = useState(marketTime);
  const able = may("SEEK");
  const none = isAdmin.value && simulator.value?.mode === "simulated";
  return (
    <form
      class="seek"
      onSubmit={(event) => {
        event.preventDefault();
        void order(`SEEK=${new FormData(event.currentTarget).get("time")}Z`);
      }}
    >
      <label>
        <span>{say.seek}</span>
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
        {say.commands.SEEK}
      </button>
      <small id="no-seek">{none ? say.noSeek : ""}</small>
    </form>
  );
}
