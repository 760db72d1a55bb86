import { signal } from "@preact/signals";
import type { ClusterState, ProcessDescription } from "../api/types";
import { wholeNumber } from "../format/numbers";
import { elapsed } from "../format/times";
import { usePolling } from "../live/polling";
import { words } from "../words";
import { Freshness } from "./freshness";
import { SAMPLE_MS } from "./metrics";
import { levelOf } from "./thresholds";

const cluster = signal<ClusterState | null>(null);
const freshness = new Freshness();

async function loadCluster(): Promise<void> {
  cluster.value = (await freshness.request<ClusterState>("v1/cluster")) ?? cluster.value;
}

/** The processes of the cluster, which may have only one process. */
export function ProcessTable() {
  const { operations: labels } = words.value;
  usePolling(loadCluster, SAMPLE_MS);
  const now = cluster.value;
  if (now === null) return null;
  return (
    <section class="processes">
      <h2 id="processes">{labels.processes}</h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard */}
      <div class="scrolling" tabIndex={0} role="region" aria-labelledby="processes">
        <table class="plain" aria-labelledby="processes" data-stale={freshness.failure.value !== ""}>
          <HeaderRow />
          <tbody>
            {now.processes.map((process) => (
              <Row key={process.id} process={process} answeredBy={now.answered_by} />
            ))}
            {now.unanswered.map((id) => (
              <tr key={id} data-level="bad">
                <th scope="row">{id}</th>
                <td class="level" colSpan={7}>
                  {labels.noAnswer}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function HeaderRow() {
  const { process, role, readers, lag, position, version, uptime, state } = words.value.operations;
  return (
    <thead>
      <tr>
        {[process, role, state].map((name) => (
          <th key={name} scope="col">
            {name}
          </th>
        ))}
        {[readers, position, lag, uptime].map((name) => (
          <th key={name} scope="col" class="number">
            {name}
          </th>
        ))}
        <th scope="col">{version}</th>
      </tr>
    </thead>
  );
}

function Row({ process, answeredBy }: { process: ProcessDescription; answeredBy: string }) {
  const { operations: labels } = words.value;
  const { id, pid, role, leads, readers, behind, head, lag, version, since, problems } = process;
  const hasProblems = problems.length > 0;
  return (
    <tr data-level={hasProblems ? "bad" : levelOf("lag", lag)}>
      <th scope="row" title={`pid ${pid}`}>
        {id} {id === answeredBy && <small>{labels.thisProcess}</small>}
      </th>
      <td>
        {labels.roles[role]} {leads && <small>{labels.leads}</small>}
      </td>
      <td class={hasProblems ? "level" : undefined}>{hasProblems ? problems.join("; ") : labels.ready}</td>
      <td class="number">
        {wholeNumber(readers)} {behind > 0 && <small>{labels.behindCount(wholeNumber(behind))}</small>}
      </td>
      <td class="number">{head}</td>
      <td class={hasProblems ? "number" : "number level"}>{wholeNumber(lag)}</td>
      <td class="number">{elapsed(Math.max(0, (freshness.answeredAt.value ?? 0) / 1000 - since / 1e6))}</td>
      <td>{version}</td>
    </tr>
  );
}
