import { useEffect, useState } from "preact/hooks";
import type { Client } from "../api/types";
import { count } from "../format/amounts";
import { NONE } from "../format/numbers";
import { elapsed } from "../format/times";
import { clientId } from "../live/market";
import { usePolling } from "../live/polling";
import { words } from "../words";
import { Confirm } from "./Confirm";
import {
  clients,
  evict,
  freshness,
  more,
  outcome,
  readClients,
  type Sort,
  search,
  showMore,
  sort,
  sorts,
  wish,
} from "./clients";
import { EVERY, freshness as ofFigures } from "./figures";

const TYPING = 200; // ms without another key before a search is made: each looks at all readers

/** Who is connected, the worst first, and the way out for each. */
export function Clients() {
  const { operations: say } = words.value;
  const [leaving, setLeaving] = useState<string | null>(null);
  usePolling(readClients, EVERY);
  useEffect(() => {
    const timer = window.setTimeout(readClients, TYPING);
    return () => window.clearTimeout(timer);
  }, [wish.value]);
  return (
    <section class="clients">
      <header>
        <h2 id="clients">{say.clients}</h2>
        <input
          type="search"
          placeholder={say.search}
          aria-label={say.search}
          value={search.value}
          onInput={({ currentTarget }) => {
            search.value = currentTarget.value;
          }}
        />
        <small>{!ofFigures.failure.value && freshness.told()}</small>
      </header>
      <p role="status">{said(outcome.value)}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard */}
      <div class="scrolling" tabIndex={0} role="region" aria-labelledby="clients">
        <table class="plain" data-stale={freshness.failure.value !== ""}>
          <Heads />
          <tbody>
            {clients.value.map((client) => (
              <Row key={`${client.id} ${client.since}`} client={client} send={setLeaving} />
            ))}
          </tbody>
        </table>
      </div>
      {clients.value.length === 0 && <p class="note">{say.nobody}</p>}
      {more.value && (
        <button type="button" onClick={showMore}>
          {say.more}
        </button>
      )}
      {leaving !== null && (
        <Confirm
          question={say.evictAsk(leaving)}
          about={leaving === clientId ? say.evictSelf : say.evictAbout}
          yes={say.evict}
          no={say.keep}
          done={(sure) => {
            setLeaving(null);
            if (sure) void evict(leaving);
          }}
        />
      )}
    </section>
  );
}

function said(what: typeof outcome.value): string {
  if (what === null) return "";
  return what.error ?? words.value.operations.evicted(what.id, what.evicted);
}

function Heads() {
  const { columns, user, watching, state, coding, evict: last } = words.value.operations;
  return (
    <thead>
      <tr>
        <Head by="id" name={columns.id} />
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
          <Head key={by} by={by} name={columns[by]} />
        ))}
        <th scope="col" class="wide">
          {coding}
        </th>
        <th scope="col">
          <span class="unseen">{last}</span>
        </th>
      </tr>
    </thead>
  );
}

/** What else than an id and losses there is no room for on a phone. */
const looks: Record<Sort, string> = {
  id: "",
  since: "wide number",
  behind: "number",
  conflated: "number",
  stalls: "wide number",
  gaps: "wide number",
};

function Head({ by, name }: { by: Sort; name: string }) {
  const chosen = sort.value === by;
  const way = by === "id" ? "ascending" : "descending";
  return (
    <th scope="col" class={looks[by]} aria-sort={chosen ? way : "none"}>
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

function Row({ client, send }: { client: Client; send: (id: string) => void }) {
  const { operations: say } = words.value;
  return (
    <tr>
      <th scope="row">
        {client.id} {client.id === clientId && <small>{say.thisPage}</small>}
      </th>
      <td class="wide">{client.user ?? NONE}</td>
      <td class="wide watching" title={watched(client, 200)}>
        {watched(client, 3)}
      </td>
      <td class="wide">{client.live ? say.live : say.catching}</td>
      <td class="wide number">{elapsed(Math.max(0, (freshness.at.value ?? 0) / 1000 - client.since / 1e6))}</td>
      <td class="number">{count(client.behind)}</td>
      <td class="number">{count(client.conflated)}</td>
      <td class="wide number">{count(client.stalls)}</td>
      <td class="wide number">{count(client.gaps)}</td>
      <td class="wide">{client.compression}</td>
      <td>
        <button type="button" aria-label={say.evictOne(client.id)} onClick={() => send(client.id)}>
          {say.evict}
        </button>
      </td>
    </tr>
  );
}

/** What a client has asked for, in short. */
function watched({ subscription: asked }: Client, symbols: number): string {
  const rest = asked.symbols.length - symbols;
  return [
    asked.symbols.slice(0, symbols).join(", ") + (rest > 0 ? ` +${rest}` : ""),
    asked.filter,
    asked.events.join(" "),
    asked.delivery === "all" && "delivery=all",
    asked.interval > 0 && `${asked.interval} ms`,
  ]
    .filter(Boolean)
    .join(" · ");
}
