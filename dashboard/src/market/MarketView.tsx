import { useEffect } from "preact/hooks";
import { isAdmin, loadRights, rights } from "../api/rights";
import { connection, reachable, status } from "../live/marketData";
import { usePolling } from "../live/polling";
import { words } from "../words";
import { ChangeLog } from "./ChangeLog";
import { ModelCard } from "./ModelCard";
import { PlaybackControls } from "./PlaybackControls";
import { ScenarioCard } from "./ScenarioCard";
import { loadSimulator, simulator } from "./simulator";
import "./market.css";

/** Polling corrects the clock of the market. Status events report every other change at once. */
const POLL_MS = 5_000;

/** The view of the feed: its state, and its controls for administrators. */
export default function MarketView() {
  const { views, shell } = words.value;
  usePolling(loadRights, POLL_MS);
  usePolling(loadSimulator, POLL_MS);
  useEffect(() => void loadSimulator(), [status.value, isAdmin.value, connection.value]);
  return (
    <section class="market">
      <h1 class="visually-hidden">{views.market}</h1>
      {simulator.value === null ? <p class="note">{shell.loading}</p> : <Cards />}
    </section>
  );
}

function Cards() {
  const simulated = simulator.value?.model != null;
  return (
    <>
      <p id="reason" class="reason">
        {disabledReason()}
      </p>
      <PlaybackControls />
      <ChangeLog />
      {simulated && <ScenarioCard />}
      {simulated && <ModelCard />}
    </>
  );
}

/** Return why controls are disabled; "" while they are enabled. */
function disabledReason(): string {
  const { market, rights: labels, shell } = words.value;
  if (!reachable.value) return shell.unreachable;
  if (rights.value !== null && !isAdmin.value) return labels.noControl;
  const { commands = [] } = simulator.value ?? {};
  if (commands.length === 0) return market.notControllable;
  return commands.includes("PAUSE") ? "" : market.ended;
}
