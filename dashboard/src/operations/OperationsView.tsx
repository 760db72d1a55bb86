import { isAdmin, readRights, rights } from "../api/rights";
import { elapsed } from "../format/times";
import { usePolling } from "../live/polling";
import { words } from "../words";
import { Clients } from "./Clients";
import { Feeds } from "./Feeds";
import { EVERY, figures, freshness, readFigures, shown } from "./figures";
import { Tiles } from "./Tiles";
import "./operations.css";

export default function OperationsView() {
  const { views, rights: say, shell } = words.value;
  usePolling(readRights, EVERY);
  return (
    <section class="operations">
      <h1 class="unseen">{views.operations}</h1>
      {rights.value === null ? (
        <p class="note">{shell.loading}</p>
      ) : isAdmin.value ? (
        <Figures />
      ) : (
        <p>{say.noOperations}</p>
      )}
    </section>
  );
}

function Figures() {
  const { operations: say } = words.value;
  usePolling(readFigures, EVERY);
  const now = figures.value;
  return (
    <>
      <p role="alert" class="old">
        {freshness.told()}
      </p>
      {now?.problems.map((problem) => (
        <p key={problem} role="alert">
          {problem}
        </p>
      ))}
      <div class="measured" data-stale={freshness.failure.value !== ""}>
        {now && <Tiles now={now} />}
        <small>{say.past(elapsed((shown.value * EVERY) / 1000))}</small>
        {now && <Feeds feeds={now.feeds} />}
      </div>
      <Clients />
    </>
  );
}
