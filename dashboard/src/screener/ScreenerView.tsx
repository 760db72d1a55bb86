import { useEffect, useMemo, useState } from "preact/hooks";
import { stale, symbolCount } from "../live/marketData";
import { href, navigate, route } from "../shell/route";
import { words } from "../words";
import { serverText } from "../words/serverText";
import { examples } from "./examples";
import { FilterInput } from "./FilterInput";
import { type Field, isField } from "./fieldNames";
import { fetchVerdict, useVerdict, type Verdict } from "./filterCheck";
import { MatchTable } from "./MatchTable";
import { MatchStream } from "./matchStream";
import { Notifier, type NotifierState } from "./notifier";
import { SavedScreens } from "./SavedScreens";
import { ScreenLog } from "./ScreenLog";
import { SymbolExplanation } from "./SymbolExplanation";
import { savedName } from "./screenStore";
import "./screener.css";

const DEFAULT_COLUMNS: readonly Field[] = ["symbol", "name", "last", "change_rate", "volume"];

/** The view at `#/screener?filter=volume > 1M`: a filter and the symbols that match it. */
export default function ScreenerView() {
  const filter = route.value.query.get("filter") ?? "";
  const [text, setText] = useState(filter);
  // A link, an example or the back button changes the filter. If the typed text differs only in spaces, it stays as
  // typed.
  useEffect(() => setText((current) => (current.trim() === filter ? current : filter)), [filter]);
  const verdict = useVerdict(text);
  const notifier = useMemo(() => new Notifier(), []);
  const { screener: labels, views } = words.value;
  const run = async (): Promise<void> => {
    if (!text.trim()) return;
    const checked = verdict.kind !== "none" && verdict.text === text;
    const { kind } = checked ? verdict : await fetchVerdict(text);
    if (kind === "valid") navigate("screener", [], { filter: text.trim() });
  };
  return (
    <section class="screener" data-stale={stale.value ?? undefined}>
      <h1 class="visually-hidden">{views.screener}</h1>
      <div class="card question">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void run();
          }}
        >
          <FilterInput text={text} onText={setText} verdict={verdict} running={filter} />
          <button type="submit" class="main">
            {labels.run}
          </button>
        </form>
        {filter && <Examples />}
      </div>
      {filter ? <RunningScreen key={filter} filter={filter} notifier={notifier} /> : <Invitation />}
    </section>
  );
}

/** The view without a filter: an introduction, examples and the saved screens. */
function Invitation() {
  return (
    <div class="parts">
      <div class="card invitation">
        <p>{words.value.screener.invitation}</p>
        <Examples />
      </div>
      <aside>
        <SavedScreens filter="" />
      </aside>
    </div>
  );
}

function Examples() {
  const { screener: labels } = words.value;
  return (
    <nav class="examples" aria-label={labels.examples}>
      {examples.map(({ id, filter }) => (
        <a key={id} href={href("screener", [], { filter })} title={filter}>
          <span>{labels.exampleOf[id]}</span>
          <code>{filter}</code>
        </a>
      ))}
    </nav>
  );
}

function RunningScreen({ filter, notifier }: { filter: string; notifier: Notifier }) {
  const verdict = useVerdict(filter, 0);
  const matches = useMatches(verdict.kind === "wrong" ? null : filter, notifier);
  const fields = useFields(verdict);
  useEffect(() => () => notifier.discardPending(), [notifier]);
  return (
    <div class="parts">
      <div class="card matches" data-stale={matches && matches.connection.value !== "open" ? "connection" : undefined}>
        {verdict.kind === "wrong" && <p class="note">{words.value.screener.invalidFilter}</p>}
        {matches && (
          <>
            <Summary matches={matches} notifier={notifier} />
            <div class="scroller">
              <MatchTable matches={matches} fields={fields} />
              <EmptyNotice matches={matches} />
            </div>
          </>
        )}
      </div>
      <aside>
        <SavedScreens filter={filter} />
        {matches && <ScreenLog matches={matches} />}
        <SymbolExplanation filter={filter} />
      </aside>
    </div>
  );
}

/** Open the stream of a filter while the component is mounted. If the filter is null, return no stream. */
function useMatches(filter: string | null, notifier: Notifier): MatchStream | null {
  const [matches, setMatches] = useState<MatchStream | null>(null);
  useEffect(() => {
    if (filter === null) {
      setMatches(null);
      return;
    }
    const stream = new MatchStream(filter, (symbol) => notifier.notify(symbol, savedName(filter) ?? filter));
    setMatches(stream);
    return () => stream.close();
  }, [filter, notifier]);
  useEffect(() => matches?.keepWhileHidden(notifier.state.value === "on"), [matches, notifier.state.value]);
  return matches;
}

/** Return the default columns, followed by the columns of the fields in the filter. */
function useFields(verdict: Verdict): readonly Field[] {
  return useMemo(() => {
    const used = verdict.kind === "valid" ? verdict.answer.fields.filter(isField) : [];
    return [...new Set([...DEFAULT_COLUMNS, ...used])];
  }, [verdict]);
}

function Summary({ matches, notifier }: { matches: MatchStream; notifier: Notifier }) {
  const { screener: labels } = words.value;
  void matches.revision.value;
  const count = matches.symbols?.size;
  return (
    <header>
      <h2 class="numbers">
        {count === undefined
          ? !matches.screensForbidden.value && labels.loading
          : labels.matchesOf(count, symbolCount.value)}
      </h2>
      <span class="spring" />
      <NotifyButton notifier={notifier} />
    </header>
  );
}

const failedStates: readonly NotifierState[] = ["denied", "impossible"];

function NotifyButton({ notifier }: { notifier: Notifier }) {
  const { notify: labels } = words.value.screener;
  const state = notifier.state.value;
  return (
    <>
      <small role="status">{failedStates.includes(state) ? labels[state] : ""}</small>
      <button type="button" aria-pressed={state === "on"} title={labels.about} onClick={() => void notifier.toggle()}>
        <svg viewBox="0 0 20 20" width="15" height="15" aria-hidden="true">
          <path d="M4 14h12c-1.4-1.4-1.8-2.6-1.8-5.2C14.2 5.6 12.6 4 10 4S5.8 5.6 5.8 8.8C5.8 11.4 5.4 12.6 4 14zM8.5 16.5h3M10 4V2.5" />
        </svg>
        {labels.name}
      </button>
    </>
  );
}

/** The reason why the table is empty. */
function EmptyNotice({ matches }: { matches: MatchStream }) {
  const { screener: labels } = words.value;
  void matches.revision.value;
  if (["retrying", "closed"].includes(matches.connection.value) && matches.detail.value) {
    return (
      <p class="note" role="alert">
        {serverText(matches.detail.value)}
      </p>
    );
  }
  if (matches.screensForbidden.value) return <p class="note">{labels.forbidden}</p>;
  if (matches.symbols?.size !== 0 || matches.recentlyLeft.size > 0) return null;
  return <p class="note">{labels.noMatches}</p>;
}
