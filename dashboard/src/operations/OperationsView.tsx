import { isAdmin, loadRights, rights } from "../api/rights";
import { elapsed } from "../format/times";
import { usePolling } from "../live/polling";
import { words } from "../words";
import { ClientTable } from "./ClientTable";
import { FeedTable } from "./FeedTable";
import { MetricTiles } from "./MetricTiles";
import { chartSamples, chooseSpan, freshness, loadMetrics, metrics, SAMPLE_MS, sampleMs, span, spans } from "./metrics";
import { ProcessTable } from "./ProcessTable";
import { StageTable } from "./StageTable";
import "./operations.css";

export default function OperationsView() {
  const { views, rights: labels, shell } = words.value;
  usePolling(loadRights, SAMPLE_MS);
  return (
    <section class="operations">
      <h1 class="visually-hidden">{views.operations}</h1>
      {rights.value === null ? (
        <p class="note">{shell.loading}</p>
      ) : isAdmin.value ? (
        <Dashboard />
      ) : (
        <p>{labels.noOperations}</p>
      )}
    </section>
  );
}

function Dashboard() {
  const { operations: labels } = words.value;
  usePolling(loadMetrics, SAMPLE_MS);
  const now = metrics.value;
  return (
    <>
      <p role="alert" class="old">
        {freshness.staleNotice()}
      </p>
      {now?.problems.map((problem) => (
        <p key={problem} role="alert">
          {problem}
        </p>
      ))}
      <div class="measured" data-stale={freshness.failure.value !== ""}>
        <SpanChoice />
        {now && <MetricTiles now={now} />}
        <small>{labels.chartSpan(elapsed((chartSamples.value * sampleMs.value) / 1000))}</small>
        {now && (
          <div class="tables">
            <FeedTable feeds={now.feeds} />
            <StageTable now={now} />
          </div>
        )}
        <ProcessTable />
      </div>
      <ClientTable />
    </>
  );
}

/** Buttons for the span of all charts. */
function SpanChoice() {
  const { operations: labels } = words.value;
  return (
    <div class="spans" role="group" aria-label={labels.span}>
      {spans.map((each) => (
        <button key={each} type="button" aria-pressed={each === span.value} onClick={() => chooseSpan(each)}>
          {labels.spanNames[each]}
        </button>
      ))}
    </div>
  );
}
