import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Quote } from "../api/types";
import { trendOf } from "../board/cells";
import { instruments } from "../live/market";
import { pref } from "../shell/prefs";
import { href } from "../shell/route";
import { words } from "../words";
import { type Field, isText, shown, valueIn } from "./fields";
import type { Matches } from "./matches";

const MOST = 100; // rows at first; more when asked for

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
  void matches.beat.value;
  const order = ordered(matches);
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
              move={matches.entered.has(symbol) ? "enter" : matches.left.has(symbol) ? "leave" : ""}
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

/** Those that match, and for a while those that just left. */
const ordered = ({ symbols, left, quotes }: Matches): string[] =>
  [...new Set([...(symbols ?? []), ...left.keys()])].sort(comparison(sort.value, quotes));

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

/**
 * Write quotes into the cells that are in sight: each frame those that changed, and all when the rows are drawn anew or
 * scrolled.
 */
function usePainted(body: { current: HTMLTableSectionElement | null }, { frames, quotes }: Matches): void {
  const seen = useRef<HTMLTableRowElement[]>([]);
  const all = useCallback(() => {
    seen.current = inSight(body.current);
    for (const row of seen.current) paint(row, quotes);
  }, [body, quotes]);
  useLayoutEffect(all);
  useEffect(() => {
    const scroller = body.current?.closest(".scroller");
    scroller?.addEventListener("scroll", all, { passive: true });
    const end = frames.each((changed) => {
      for (const row of seen.current) if (changed.has(row.dataset.symbol ?? "")) paint(row, quotes);
    });
    return () => {
      scroller?.removeEventListener("scroll", all);
      end();
    };
  }, [body, frames, quotes, all]);
}

/** The rows that the scroller shows; they are equally high. */
function inSight(body: HTMLTableSectionElement | null): HTMLTableRowElement[] {
  const scroller = body?.closest(".scroller");
  const height = body?.rows[0]?.offsetHeight;
  if (!body || !scroller || !height) return [];
  const first = Math.max(0, Math.floor(scroller.scrollTop / height) - 1);
  return Array.from(body.rows).slice(first, first + Math.ceil(scroller.clientHeight / height) + 2);
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
