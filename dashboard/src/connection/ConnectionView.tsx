import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { byteSize, compact, NONE } from "../format/numbers";
import { duration, elapsed, shortTime } from "../format/times";
import { connectionLog } from "../live/connectionLog";
import {
  clientId,
  connection,
  connectionDetail,
  lastEventId,
  latency,
  marketClock,
  received,
  reconnect,
  reconnects,
  stateSince,
  symbolCount,
  updateInterval,
  welcome,
} from "../live/marketData";
import { Fact } from "../shell/Fact";
import { words } from "../words";
import { LatencyChart } from "./LatencyChart";
import "./connection.css";

interface SecondSample {
  now: number; // ms, the end of the second
  quotes: number | null;
  characters: number | null;
}

/** The traffic of the last second. Every component that reads it is rendered once a second. */
const lastSecond = signal<SecondSample>({ now: performance.now(), quotes: null, characters: null });

/** Percentiles cover this period. */
const WINDOW_MS = 60_000;

/** The view of the page's own connection: its state, the latency of prices, its traffic and its log. */
export default function ConnectionView() {
  useEffect(sampleEverySecond, []);
  const { views } = words.value;
  return (
    <section class="connection-view">
      <h1 class="visually-hidden">{views.connection}</h1>
      <StateCard />
      <LatencyCard />
      <TrafficCard />
      <LogCard />
    </section>
  );
}

function StateCard() {
  const { connection: labels, states } = words.value;
  const seconds = Math.max(0, (performance.timeOrigin + lastSecond.value.now - stateSince.value) / 1000);
  return (
    <section class="card">
      <h2>{labels.state}</h2>
      <p class="big" data-state={connection.value}>
        {states[connection.value]} <small>{labels.since(elapsed(seconds))}</small>
      </p>
      {connectionDetail.value && <p class="down">{connectionDetail.value}</p>}
      <dl>
        <Fact name={labels.lastEventId}>
          <code>{lastEventId() || NONE}</code>
        </Fact>
        <Fact name={labels.reconnects}>{reconnects.value}</Fact>
        <Fact name={labels.client}>
          <code>{clientId.value || NONE}</code>
        </Fact>
      </dl>
      <button type="button" onClick={reconnect}>
        {labels.reconnectNow}
      </button>
    </section>
  );
}

function LatencyCard() {
  const { connection: labels } = words.value;
  const { now } = lastSecond.value;
  const percentiles = latency.percentilesOver(WINDOW_MS, now);
  const show = (ms: number | undefined): string => (ms === undefined ? NONE : duration(ms));
  return (
    <section class="card latency-card">
      <h2>{labels.latency}</h2>
      <dl class="figures">
        <Fact name="p50">{show(percentiles?.p50)}</Fact>
        <Fact name="p90">{show(percentiles?.p90)}</Fact>
        <Fact name="p99">{show(percentiles?.p99)}</Fact>
        <Fact name={labels.max}>{show(percentiles?.max)}</Fact>
      </dl>
      <LatencyChart history={latency.history()} now={now} />
      <p>
        <small>
          {percentiles
            ? labels.latencyNote(compact(percentiles.count), duration(marketClock.errorMs()))
            : labels.latencyUnknown}
        </small>
      </p>
    </section>
  );
}

function TrafficCard() {
  const { connection: labels } = words.value;
  const { quotes, characters } = lastSecond.value;
  const heartbeat = welcome.value?.heartbeat;
  return (
    <section class="card">
      <h2>{labels.traffic}</h2>
      <dl>
        <Fact name={labels.quotes}>{compact(quotes)}</Fact>
        <Fact name={labels.bytes}>{byteSize(characters)}</Fact>
        <Fact name={labels.symbols}>{symbolCount.value}</Fact>
        <Fact name={labels.interval}>
          {updateInterval.value === 0 ? labels.everyUpdate : duration(updateInterval.value)}
        </Fact>
        <Fact name={labels.heartbeat}>{heartbeat === undefined ? NONE : elapsed(heartbeat)}</Fact>
      </dl>
    </section>
  );
}

function LogCard() {
  const { connection: labels } = words.value;
  return (
    <section class="card log">
      <h2>{labels.log}</h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard */}
      <div class="scroll" tabIndex={0} role="region" aria-label={labels.log}>
        <table>
          <tbody>
            {connectionLog.value.map(({ id, at, kind, detail, command }) => (
              <tr key={id}>
                <td>{shortTime(at)}</td>
                <th scope="row">{labels.events[kind]}</th>
                <td>
                  {kind === "status" ? feedStateText(detail) : detail} {command && <code>{command}</code>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/**
 * Translate a state of the feed. A state without a translation is the status of a single symbol, and is shown
 * unchanged.
 */
const feedStateText = (state: string): string => (words.value.feed as Record<string, string>)[state] ?? state;

function sampleEverySecond(): () => void {
  let before = { ...received, at: performance.now() };
  const timer = window.setInterval(() => {
    const now = { ...received, at: performance.now() };
    const seconds = (now.at - before.at) / 1000;
    lastSecond.value = {
      now: now.at,
      quotes: Math.round((now.quotes - before.quotes) / seconds),
      characters: (now.characters - before.characters) / seconds,
    };
    before = now;
  }, 1000);
  return () => window.clearInterval(timer);
}
