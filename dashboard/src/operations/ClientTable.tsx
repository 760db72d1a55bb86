import { useEffect, useState } from "preact/hooks";
import type { Client } from "../api/types";
import { NONE, wholeNumber } from "../format/numbers";
import { elapsed } from "../format/times";
import { clientId } from "../live/marketData";
import { usePolling } from "../live/polling";
import { words } from "../words";
import { ConfirmDialog } from "./ConfirmDialog";
import {
  clientQuery,
  clients,
  evict,
  evictionResult,
  freshness,
  hasMore,
  loadClients,
  type Sort,
  search,
  showMore,
  sort,
  sorts,
} from "./clientList";
import { freshness as metricsFreshness, SAMPLE_MS } from "./metrics";

/** A search starts after a pause in typing, because every search scans all readers. */
const SEARCH_DELAY_MS = 200;

/** The connected clients, furthest behind first, each with a button to evict it. */
export function ClientTable() {
  const { operations: labels } = words.value;
  const [evicting, setEvicting] = useState<string | null>(null);
  usePolling(loadClients, SAMPLE_MS);
  useEffect(() => {
    const timer = window.setTimeout(loadClients, SEARCH_DELAY_MS);
    return () => window.clearTimeout(timer);
  }, [clientQuery.value]);
  return (
    <section class="clients">
      <header>
        <h2 id="clients">{labels.clients}</h2>
        <input
          type="search"
          placeholder={labels.search}
          aria-label={labels.search}
          value={search.value}
          onInput={({ currentTarget }) => {
            search.value = currentTarget.value;
          }}
        />
        <small>{!metricsFreshness.failure.value && freshness.staleNotice()}</small>
      </header>
      <p role="status">{resultText(evictionResult.value)}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard */}
      <div class="scrolling" tabIndex={0} role="region" aria-labelledby="clients">
        <table class="plain" data-stale={freshness.failure.value !== ""}>
          <HeaderRow />
          <tbody>
            {clients.value.map((client) => (
              <Row key={`${client.id} ${client.since}`} client={client} send={setEvicting} />
            ))}
          </tbody>
        </table>
      </div>
      {clients.value.length === 0 && <p class="note">{labels.noClients}</p>}
      {hasMore.value && (
        <button type="button" onClick={showMore}>
          {labels.showMore}
        </button>
      )}
      {evicting !== null && (
        <ConfirmDialog
          question={labels.evictQuestion(evicting)}
          about={evicting === clientId.value ? labels.evictSelf : labels.evictAbout}
          yes={labels.evict}
          no={labels.cancel}
          onAnswer={(sure) => {
            setEvicting(null);
            if (sure) void evict(evicting);
          }}
        />
      )}
    </section>
  );
}

function resultText(what: typeof evictionResult.value): string {
  if (what === null) return "";
  return what.error ?? words.value.operations.evicted(what.id, what.evicted);
}

function HeaderRow() {
  const { columns, user, watching, state, compression, evict } = words.value.operations;
  return (
    <thead>
      <tr>
        <SortHeader by="id" name={columns.id} />
        <th scope="col" class="wide">
          {user}
        </th>
        <th scope="col" class="wide">
          {watching}
        </th>
        <th scope="col" class="wide">
          {state}
        </th>
        {sorts.slice(1).map((by) => (
          <SortHeader key={by} by={by} name={columns[by]} />
        ))}
        <th scope="col" class="wide">
          {compression}
        </th>
        <th scope="col">
          <span class="visually-hidden">{evict}</span>
        </th>
      </tr>
    </thead>
  );
}

/** The class of every column. A phone has no room for the `wide` ones. */
const columnClass: Record<Sort, string> = {
  id: "",
  since: "wide number",
  behind: "number",
  conflated: "number",
  stalls: "wide number",
  gaps: "wide number",
};

function SortHeader({ by, name }: { by: Sort; name: string }) {
  const chosen = sort.value === by;
  const way = by === "id" ? "ascending" : "descending";
  return (
    <th scope="col" class={columnClass[by]} aria-sort={chosen ? way : "none"}>
      <button
        type="button"
        class="quiet"
        onClick={() => {
          sort.value = by;
        }}
      >
        {name} <span aria-hidden="true">{chosen ? (way === "ascending" ? "▲" : "▼") : ""}</span>
      </button>
    </th>
  );
}

function Row({ client, send: onEvict }: { client: Client; send: (id: string) => void }) {
  const { operations: labels } = words.value;
  return (
    <tr>
      <th scope="row">
        {client.id} {client.id === clientId.value && <small>{labels.thisPage}</small>}
      </th>
      <td class="wide">{client.user ?? NONE}</td>
      <td class="wide watching" title={subscriptionText(client, 200)}>
        {subscriptionText(client, 3)}
      </td>
      <td class="wide">{client.live ? labels.live : labels.catching}</td>
      <td class="wide number">{elapsed(Math.max(0, (freshness.answeredAt.value ?? 0) / 1000 - client.since / 1e6))}</td>
      <td class="number">{wholeNumber(client.behind)}</td>
      <td class="number">{wholeNumber(client.conflated)}</td>
      <td class="wide number">{wholeNumber(client.stalls)}</td>
      <td class="wide number">{wholeNumber(client.gaps)}</td>
      <td class="wide">{client.compression}</td>
      <td>
        <button type="button" aria-label={labels.evictOne(client.id)} onClick={() => onEvict(client.id)}>
          {labels.evict}
        </button>
      </td>
    </tr>
  );
}

/** Summarize the subscription of a client, with at most `symbols` of its symbols. */
function subscriptionText({ subscription }: Client, symbols: number): string {
  const rest = subscription.symbols.length - symbols;
  return [
    subscription.symbols.slice(0, symbols).join(", ") + (rest > 0 ? ` +${rest}` : ""),
    subscription.filter,
    subscription.events.join(" "),
    subscription.delivery === "all" && "delivery=all",
    subscription.interval > 0 && `${subscription.interval} ms`,
  ]
    .filter(Boolean)
    .join(" · ");
}
