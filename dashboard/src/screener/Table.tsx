import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Quote } from "../api/types";
import { trendOf } from "../board/cells";
import { instruments } from "../live/market";
import { pref } from "../shell/prefs";
import { href } from "../shell/route";
import { words } from "../words";
import { type Field, isText, shown, valueIn } from "./fields";
import type { Matches } from "./matches";

const BEAT = 250; // ms: who comes and goes is shown at most so often
const REORDER = 4; // beats: rows that change places more often cannot be read
const MOST = 200; // rows at first; more when asked for

type Quotes = ReadonlyMap<string, Quote>;

interface Sort {
  by: Field;
  descending: boolean;
}

const sort = pref<Sort>("screener.sort", { by: "change_rate", descending: true });

/** The symbols that match, with what the filter looks at beside the usual columns. */
export function Table({ matches, fields }: { matches: Matches; fields: readonly Field[] }) {
  const [all, setAll] = useState(false);
  const body = useRef<HTMLTableSectionElement>(null);
  const shows = useBeat(matches);
  const order = useMemo(
    () => [...new Set([...shows.symbols, ...shows.left])].sort(comparison(sort.value, matches.quotes)),
    [shows, sort.value, matches],
  );
  const rows = all ? order : order.slice(0, MOST);
  usePainted(body, matches);
  const { screener: say } = words.value;
  return (
    <>
      <table>
        <thead>
          <tr>
            {fields.map((field) => (
              <Head key={field} field={field} />
            ))}
          </tr>
        </thead>
        <tbody ref={body}>
          {rows.map((symbol) => (
            <Row
              key={symbol}
              symbol={symbol}
              fields={fields}
              move={shows.entered.has(symbol) ? "enter" : shows.left.has(symbol) ? "leave" : ""}
            />
          ))}
        </tbody>
      </table>
      {rows.length < order.length && (
        <button type="button" onClick={() => setAll(true)}>
          {say.more(order.length - rows.length)}
        </button>
      )}
    </>
  );
}

interface Shows {
  symbols: ReadonlySet<string>;
  entered: ReadonlySet<string>;
  left: ReadonlySet<string>;
}

/** Who is to be shown: another answer soon after somebody came or went, and now and then for the order's sake. */
function useBeat(matches: Matches): Shows {
  const [shows, setShows] = useState<Shows>(() => now(matches));
  useEffect(() => {
    let beats = 0;
    const look = (before: Shows): Shows => {
      const next = now(matches);
      const same = next.symbols === before.symbols && next.entered === before.entered && next.left === before.left;
      return same && ++beats % REORDER !== 0 ? before : next;
    };
    setShows(look);
    const timer = window.setInterval(() => setShows(look), BEAT);
    return () => window.clearInterval(timer);
  }, [matches]);
  return shows;
}

const NOBODY: ReadonlySet<string> = new Set();
const now = ({ symbols, entered, left }: Matches): Shows => ({
  symbols: symbols.peek() ?? NOBODY,
  entered: entered.peek(),
  left: left.peek(),
});

function Head({ field }: { field: Field }) {
  const { by, descending } = sort.value;
  const order = field !== by ? "none" : descending ? "descending" : "ascending";
  const turn = (): void => {
    sort.value = { by: field, descending: field === by ? !descending : !isText(field) };
  };
  return (
    <th scope="col" data-field={field} aria-sort={order}>
      <button type="button" onClick={turn}>
        {words.value.screener.fields[field]}
      </button>
    </th>
  );
}

/** Cells are empty here: prices are written into them as they come. */
function Row({ symbol, fields, move }: { symbol: string; fields: readonly Field[]; move: string }) {
  return (
    <tr data-symbol={symbol} data-move={move || undefined}>
      {fields.map((field) =>
        field === "symbol" ? (
          <th key={field} scope="row">
            <a href={href("chart", [symbol])}>{symbol}</a>
            {move && <span class="tag">{words.value.screener.move[move as "enter" | "leave"]}</span>}
          </th>
        ) : (
          <td key={field} data-field={field} />
        ),
      )}
    </tr>
  );
}

/** Write quotes into the cells: each frame those that changed, and all of them when the rows are drawn anew. */
function usePainted(body: { current: HTMLTableSectionElement | null }, { frames, quotes }: Matches): void {
  useLayoutEffect(() => {
    for (const row of body.current?.rows ?? []) paint(row, quotes);
  });
  useEffect(
    () =>
      frames.each((changed) => {
        for (const row of body.current?.rows ?? []) if (changed.has(row.dataset.symbol ?? "")) paint(row, quotes);
      }),
    [body, frames, quotes],
  );
}

function paint(row: HTMLTableRowElement, quotes: Quotes): void {
  const symbol = row.dataset.symbol ?? "";
  const quote = quotes.get(symbol);
  if (!quote) return;
  const about = instruments.value.get(symbol);
  for (const cell of row.cells) {
    const field = cell.dataset.field as Field | undefined;
    if (!field) continue;
    const text = shown(field, quote, about);
    if (cell.textContent !== text) cell.textContent = text;
    if (field === "change_rate" || field === "change") {
      const trend = trendOf(quote.change);
      if (cell.className !== trend) cell.className = trend;
    }
  }
}

function comparison({ by, descending }: Sort, quotes: Quotes) {
  const value = (symbol: string): number | string | null => {
    const quote = quotes.get(symbol);
    return quote ? valueIn(by, quote, instruments.value.get(symbol)) : null;
  };
  return (one: string, other: string): number => {
    const [a, b] = [value(one), value(other)];
    if (a === null || b === null) return Number(a === null) - Number(b === null) || (one < other ? -1 : 1);
    if (a === b) return one < other ? -1 : 1;
    return a < b === descending ? 1 : -1;
  };
}
