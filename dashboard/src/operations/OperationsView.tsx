import { isAdmin, readRights, rights } from "../api/rights";
import { usePolling } from "../live/polling";
import { words } from "../words";
import { Clients } from "./Clients";
import { Feeds } from "./Feeds";
import { EVERY, failure, figures, readFigures } from "./figures";
import { Tiles } from "./Tiles";
import "./operations.css";

export default function OperationsView() {
  const { views, rights: say, shell } = words.value;
  usePolling(readRights, EVERY);
  return (
    <section class="operations">
      <h1>{views.operations}</h1>
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
      {failure.value && <p role="alert">{say.away(failure.value)}</p>}
      {now?.problems.map((problem) => (
        <p key={problem} role="alert">
          {problem}
        </p>
      ))}
      {now && <Tiles now={now} />}
      {now && <Feeds feeds={now.feeds} />}
      <Clients />
    </>
  );
}
