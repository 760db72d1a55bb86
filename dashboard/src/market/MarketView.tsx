import { useEffect } from "preact/hooks";
import { isAdmin, readRights, rights } from "../api/rights";
import { connection, status } from "../live/market";
import { usePolling } from "../live/polling";
import { words } from "../words";
import { Control } from "./Control";
import { Happenings } from "./Happenings";
import { ModelCard } from "./ModelCard";
import { Scenario } from "./Scenario";
import { readSimulator, simulator } from "./simulator";
import "./market.css";

const EVERY = 5_000; // ms: for the market's clock; statuses tell everything else at once

/** How the market runs, and the hands on it for those who may. */
export default function MarketView() {
  const { views, shell } = words.value;
  usePolling(readRights, EVERY);
  usePolling(readSimulator, EVERY);
  useEffect(() => void readSimulator(), [status.value, isAdmin.value, connection.value]);
  return (
    <section class="market">
      <h1 class="unseen">{views.market}</h1>
      {simulator.value === null ? <p class="note">{shell.loading}</p> : <Cards />}
    </section>
  );
}

function Cards() {
  const simulated = simulator.value?.model != null;
  return (
    <>
      <p id="reason" class="reason">
        {reason()}
      </p>
      <Control />
      <Happenings />
      {simulated && <Scenario />}
      {simulated && <ModelCard />}
    </>
  );
}

/** Why controls are off; empty where they are not. */
function reason(): string {
  const { market, rights: say, shell } = words.value;
  if (connection.value !== "open") return shell.unreachable;
  if (rights.value !== null && !isAdmin.value) return say.noControl;
  const { commands = [] } = simulator.value ?? {};
  if (commands.length === 0) return market.outside;
  return commands.includes("PAUSE") ? "" : market.ended;
}
