import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useState } from "preact/hooks";
import { stale, symbolCount } from "../live/market";
import { go, href, route } from "../shell/route";
import { words } from "../words";
import { Bell, type BellState } from "./bell";
import { useVerdict } from "./check";
import { ExpressionBox } from "./ExpressionBox";
import { examples } from "./examples";
import { type Field, isField } from "./fields";
import { MoveLog } from "./MoveLog";
import { Matches } from "./matches";
import { Said } from "./Said";
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
  useEffect(() => setText(filter), [filter]); // a link, an example, the browser's way back
  const verdict = useVerdict(text);
  const { screener: say, views } = words.value;
  const run = (): void => {
    if (text.trim()) go("screener", [], { filter: text.trim() });
  };
  return (
    <section class="screener" data-stale={stale.value ?? undefined}>
      <h1 class="unseen">{views.screener}</h1>
      <div class="card question">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            run();
          }}
        >
          <ExpressionBox text={text} write={setText} run={run} verdict={verdict} />
          <button type="submit" class="main">
            {say.run}
          </button>
        </form>
        <Said text={text} verdict={verdict} />
        <nav class="examples" aria-label={say.examples}>
          <small>{say.examples}</small>
          {examples.map(({ id, filter: example }) => (
            <a key={id} href={href("screener", [], { filter: example })} title={example}>
              {say.exampleOf[id]}
            </a>
          ))}
        </nav>
      </div>
      {filter ? <Running key={filter} filter={filter} /> : <Invitation />}
    </section>
  );
}

/** While no filter runs: what this is for, and the screens that one saved. */
function Invitation() {
  return (
    <div class="parts">
      <div class="card invitation">
        <p>{words.value.screener.invitation}</p>
      </div>
      <aside>
        <SavedScreens filter="" />
      </aside>
    </div>
  );
}

function Running({ filter }: { filter: string }) {
  const bell = useMemo(() => new Bell(), []);
  const keep = bell.state.value === "on";
  const matches = useMatches(filter, keep, bell);
  const fields = useFields(filter);
  useEffect(() => () => bell.close(), [bell]);
  return (
    <div class="parts">
      <div class="card found">
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

/** The stream of a filter, for as long as it is looked at. */
function useMatches(filter: string, keep: boolean, bell: Bell): Matches | null {
  const [matches, setMatches] = useState<Matches | null>(null);
  useEffect(() => {
    const made = new Matches(filter, keep, (symbol) => bell.ring(symbol, nameOf(filter) ?? filter));
    setMatches(made);
    return () => made.close();
  }, [filter, keep, bell]);
  return matches;
}

/** The usual columns, and those that the filter is about. */
function useFields(filter: string): readonly Field[] {
  const verdict = useVerdict(filter);
  const about = useSignal<readonly Field[]>([]);
  if (verdict.kind === "valid") about.value = verdict.answer.fields.filter(isField);
  return useMemo(() => [...new Set([...USUAL, ...about.value])], [about.value]);
}

function Summary({ matches, bell }: { matches: Matches; bell: Bell }) {
  const { screener: say } = words.value;
  const count = matches.symbols.value?.size;
  return (
    <header>
      <h2 class="numbers">{count === undefined ? say.opening : say.matching(count, symbolCount.value)}</h2>
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
        <span aria-hidden="true">🔔</span> {say.name}
      </button>
    </>
  );
}

/** Why the table is empty, while it is. */
function Nobody({ matches }: { matches: Matches }) {
  const { screener: say } = words.value;
  if (matches.connection.value === "waiting" && matches.detail.value) {
    return (
      <p class="note" role="alert">
        {matches.detail.value}
      </p>
    );
  }
  if (matches.symbols.value?.size !== 0 || matches.left.value.size > 0) return null;
  return <p class="note">{say.nobody}</p>;
}
