import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { compact, NONE } from "../format/numbers";
import { duration, elapsed, timeOfDay } from "../format/times";
import { log } from "../live/log";
import {
  clientId,
  connection,
  connectionDetail,
  lastId,
  latency,
  received,
  reconnect,
  reconnects,
  since,
  symbolCount,
  timepiece,
  welcome,
} from "../live/market";
import { Fact } from "../shell/Fact";
import { words } from "../words";
import { LatencyChart } from "./LatencyChart";
import "./connection.css";

interface Second {
  now: number; // ms
  quotes: number | null;
  characters: number | null;
}

/** The newest second: when it ended (ms), and how much came in it. What reads it is drawn anew with it. */
const second = signal<Second>({ now: performance.now(), quotes: null, characters: null });

const WINDOW = 60_000; // ms over which percentiles are taken

/** How this page hears the market: how it stands, how late prices are, and what happened. */
export default function ConnectionView() {
  useEffect(everySecond, []);
  const { views } = words.value;
  return (
    <section class="connection-view">
      <h1 class="unseen">{views.connection}</h1>
      <State />
      <Late />
      <Flow />
      <Log />
    </section>
  );
}

function State() {
  const { connection: say, states } = words.value;
  const seconds = Math.max(0, (performance.timeOrigin + second.value.now - since.value) / 1000);
  return (
    <section class="card">
      <h2>{say.state}</h2>
      <p class="big" data-state={connection.value}>
        {states[connection.value]} <small>{say.since(elapsed(seconds))}</small>
      </p>
      {connectionDetail.value && <p class="down">{connectionDetail.value}</p>}
      <dl>
        <Fact name={say.reached}>
          <code>{lastId() || NONE}</code>
        </Fact>
        <Fact name={say.reconnects}>{reconnects.value}</Fact>
        <Fact name={say.client}>
          <code>{clientId}</code>
        </Fact>
      </dl>
      <button type="button" onClick={reconnect}>
        {say.again}
      </button>
    </section>
  );
}

function Late() {
  const { connection: say } = words.value;
  const { now } = second.value;
  const of = latency.over(WINDOW, now);
  const show = (ms: number | undefined): string => (ms === undefined ? NONE : duration(ms));
  return (
    <section class="card late">
      <h2>{say.latency}</h2>
      <dl class="figures">
        <Fact name="p50">{show(of?.p50)}</Fact>
        <Fact name="p90">{show(of?.p90)}</Fact>
        <Fact name="p99">{show(of?.p99)}</Fact>
        <Fact name={say.most}>{show(of?.most)}</Fact>
      </dl>
      <LatencyChart history={latency.history()} now={now} />
      <p>
        <small>{of ? say.method(compact(of.count), duration(timepiece.error())) : say.unmeasured}</small>
      </p>
    </section>
  );
}

function Flow() {
  const { connection: say } = words.value;
  const { quotes, characters } = second.value;
  const heartbeat = welcome.value?.heartbeat;
  return (
    <section class="card">
      <h2>{say.flow}</h2>
      <dl>
        <Fact name={say.quotes}>{compact(quotes)}</Fact>
        <Fact name={say.bytes}>{characters === null ? NONE : `${compact(characters / 1000)} KB`}</Fact>
        <Fact name={say.symbols}>{symbolCount.value}</Fact>
        <Fact name={say.heartbeat}>{heartbeat === undefined ? NONE : elapsed(heartbeat)}</Fact>
      </dl>
    </section>
  );
}

function Log() {
  const { connection: say } = words.value;
  return (
    <section class="card log">
      <h2>{say.log}</h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard */}
      <div class="scroll" tabIndex={0} role="region" aria-label={say.log}>
        <table>
          <tbody>
            {log.value.map(({ id, at, what, detail, command }) => (
              <tr key={id}>
                <td>{timeOfDay(at)}</td>
                <th scope="row">{say.happened[what]}</th>
                <td>
                  {what === "status" ? translated(detail) : detail} {command && <code>{command}</code>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** A state of the feed in words; of one symbol, as it is. */
const translated = (state: string): string => (words.value.feed as Record<string, string>)[state] ?? state;

function everySecond(): () => void {
  let before = { ...received, at: performance.now() };
  const timer = window.setInterval(() => {
    const now = { ...received, at: performance.now() };
    const seconds = (now.at - before.at) / 1000;
    second.value = {
      now: now.at,
      quotes: Math.round((now.quotes - before.quotes) / seconds),
      characters: (now.characters - before.characters) / seconds,
    };
    before = now;
  }, 1000);
  return () => window.clearInterval(timer);
}
