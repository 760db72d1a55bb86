import { useEffect, useMemo, useState } from "preact/hooks";
import { stale, symbolCount } from "../live/market";
import { go, href, route } from "../shell/route";
import { words } from "../words";
import { Bell, type BellState } from "./bell";
import { useVerdict, type Verdict, verdictOn } from "./check";
import { ExpressionBox } from "./ExpressionBox";
import { examples } from "./examples";
import { type Field, isField } from "./fields";
import { MoveLog } from "./MoveLog";
import { Matches } from "./matches";
import { SavedScreens } from "./SavedScreens";
import { nameOf } from "./saved";
import { Table } from "./Table";
import { Why } from "./Why";
import "./screener.css";

const USUAL: readonly Field[] = ["symbol", "name", "last", "change_rate", "volume"];

/** `#/screener?filter=volume > 1M`: write a filter, and watch who matches it. */
export default function ScreenerView() {
  const filter = route.value.query.get("filter") ?? "";
  const [text, setText] = useState(filter);
  // A link, an example, the browser's way back; what runs as it was written stays as it was written.
  useEffect(() => setText((was) => (was.trim() === filter ? was : filter)), [filter]);
  const verdict = useVerdict(text);
  const bell = useMemo(() => new Bell(), []);
  const { screener: say, views } = words.value;
  const run = async (): Promise<void> => {
    if (!text.trim()) return;
    const known = verdict.kind !== "none" && verdict.text === text;
    const { kind } = known ? verdict : await verdictOn(text);
    if (kind === "valid") go("screener", [], { filter: text.trim() });
  };
  return (
    <section class="screener" data-stale={stale.value ?? undefined}>
      <h1 class="unseen">{views.screener}</h1>
      <div class="card question">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void run();
          }}
        >
          <ExpressionBox text={text} write={setText} verdict={verdict} running={filter} />
          <button type="submit" class="main">
            {say.run}
          </button>
        </form>
        {filter && <Examples />}
      </div>
      {filter ? <Running key={filter} filter={filter} bell={bell} /> : <Invitation />}
    </section>
  );
}

/** While no filter runs: what this is for, and the screens that one saved. */
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
  const { screener: say } = words.value;
  return (
    <nav class="examples" aria-label={say.examples}>
      {examples.map(({ id, filter }) => (
        <a key={id} href={href("screener", [], { filter })} title={filter}>
          <span>{say.exampleOf[id]}</span>
          <code>{filter}</code>
        </a>
      ))}
    </nav>
  );
}

function Running({ filter, bell }: { filter: string; bell: Bell }) {
  const verdict = useVerdict(filter, 0);
  const matches = useMatches(verdict.kind === "wrong" ? null : filter, bell);
  const fields = useFields(verdict);
  useEffect(() => () => bell.forget(), [bell]);
  return (
    <div class="parts">
      <div class="card found">
        {verdict.kind === "wrong" && <p class="note">{words.value.screener.none}</p>}
        {matches && (
          <>
            <Summary matches={matches} bell={bell} />
            <div class="scroller">
              <Table matches={matches} fields={fields} />
              <Nobody matches={matches} />
            </div>
          </>
        )}
      </div>
      <aside>
        <SavedScreens filter={filter} />
        {matches && <MoveLog matches={matches} />}
        <Why filter={filter} />
      </aside>
    </div>
  );
}

/** The stream of a filter, for as long as it is looked at; none for what is no filter. */
function useMatches(filter: string | null, bell: Bell): Matches | null {
  const [matches, setMatches] = useState<Matches | null>(null);
  useEffect(() => {
    if (filter === null) {
      setMatches(null);
      return;
    }
    const made = new Matches(filter, (symbol) => bell.ring(symbol, nameOf(filter) ?? filter));
    setMatches(made);
    return () => made.close();
  }, [filter, bell]);
  useEffect(() => matches?.keep(bell.state.value === "on"), [matches, bell.state.value]);
  return matches;
}

/** The usual columns, and those that the filter is about. */
function useFields(verdict: Verdict): readonly Field[] {
  return useMemo(() => {
    const about = verdict.kind === "valid" ? verdict.answer.fields.filter(isField) : [];
    return [...new Set([...USUAL, ...about])];
  }, [verdict]);
}

function Summary({ matches, bell }: { matches: Matches; bell: Bell }) {
  const { screener: say } = words.value;
  void matches.beat.value;
  const count = matches.symbols?.size;
  return (
    <header>
      <h2 class="numbers">
        {count === undefined ? !matches.deaf.value && say.opening : say.matching(count, symbolCount.value)}
      </h2>
      <span class="spring" />
      <BellButton bell={bell} />
    </header>
  );
}

const explained: readonly BellState[] = ["denied", "impossible"];

function BellButton({ bell }: { bell: Bell }) {
  const { bell: say } = words.value.screener;
  const state = bell.state.value;
  return (
    <>
      <small role="status">{explained.includes(state) ? say[state] : ""}</small>
      <button type="button" aria-pressed={state === "on"} title={say.about} onClick={() => void bell.toggle()}>
        <svg viewBox="0 0 20 20" width="15" height="15" aria-hidden="true">
          <path d="M4 14h12c-1.4-1.4-1.8-2.6-1.8-5.2C14.2 5.6 12.6 4 10 4S5.8 5.6 5.8 8.8C5.8 11.4 5.4 12.6 4 14zM8.5 16.5h3M10 4V2.5" />
        </svg>
        {say.name}
      </button>
    </>
  );
}

/** Why the table is empty, while it is. */
function Nobody({ matches }: { matches: Matches }) {
  const { screener: say } = words.value;
  void matches.beat.value;
  if (matches.connection.value === "waiting" && matches.detail.value) {
    return (
      <p class="note" role="alert">
        {matches.detail.value}
      </p>
    );
  }
  if (matches.deaf.value) return <p class="note">{say.deaf}</p>;
  if (matches.symbols?.size !== 0 || matches.left.size > 0) return null;
  return <p class="note">{say.nobody}</p>;
}
