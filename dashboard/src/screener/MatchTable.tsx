import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Quote } from "../api/types";
import { trendOf } from "../board/cells";
import { haltedSymbols, instruments } from "../live/marketData";
import { hasForm, isBoolean, isText, pref } from "../shell/prefs";
import { href } from "../shell/route";
import { words } from "../words";
import { type Field, isField, isTextField } from "./fieldNames";
import { fieldValue, formatField } from "./fields";
import type { MatchStream } from "./matchStream";

/** Further rows are rendered on demand. */
const INITIAL_ROWS = 100;

type Quotes = ReadonlyMap<string, Quote>;

interface Sort {
  by: Field;
  descending: boolean;
}

const sort = pref<Sort>(
  "screener.sort",
  { by: "change_rate", descending: true },
  hasForm({ by: (value) => isText(value) && isField(value), descending: isBoolean }),
);

/** The table of the symbols that match. */
export function MatchTable({ matches, fields }: { matches: MatchStream; fields: readonly Field[] }) {
  const [all, setAll] = useState(false);
  const body = useRef<HTMLTableSectionElement>(null);
  void matches.revision.value;
  const order = sortedSymbols(matches);
  const rows = all ? order : order.slice(0, INITIAL_ROWS);
  usePaintedCells(body, matches);
  const { screener: labels } = words.value;
  return (
    <>
      <table>
        <thead>
          <tr>
            {fields.map((field) => (
              <SortHeader key={field} field={field} />
            ))}
          </tr>
        </thead>
        <tbody ref={body} class="prices">
          {rows.map((symbol) => (
            <Row
              key={symbol}
              symbol={symbol}
              fields={fields}
              halted={haltedSymbols.value.has(symbol)}
              move={matches.recentlyEntered.has(symbol) ? "enter" : matches.recentlyLeft.has(symbol) ? "leave" : ""}
            />
          ))}
        </tbody>
      </table>
      {rows.length < order.length && (
        <button type="button" onClick={() => setAll(true)}>
          {labels.more(order.length - rows.length)}
        </button>
      )}
    </>
  );
}

/** Return the symbols that match and the symbols that left recently, sorted. */
const sortedSymbols = ({ symbols, recentlyLeft: left, quotes }: MatchStream): string[] =>
  [...new Set([...(symbols ?? []), ...left.keys()])].sort(comparison(sort.value, quotes));

function SortHeader({ field }: { field: Field }) {
  const { by, descending } = sort.value;
  const order = field !== by ? "none" : descending ? "descending" : "ascending";
  const turn = (): void => {
    sort.value = { by: field, descending: field === by ? !descending : !isTextField(field) };
  };
  return (
    <th scope="col" data-field={field} aria-sort={order}>
      <button type="button" onClick={turn}>
        {words.value.screener.fields[field]}
      </button>
    </th>
  );
}

interface RowProps {
  symbol: string;
  fields: readonly Field[];
  halted: boolean;
  move: string;
}

/** A row whose cells `usePaintedCells` fills. */
function Row({ symbol, fields, halted, move }: RowProps) {
  return (
    <tr data-symbol={symbol} data-move={move || undefined} data-halted={halted || undefined}>
      {fields.map((field) =>
        field === "symbol" ? (
          <th key={field} scope="row">
            <a href={href("chart", [symbol])}>{symbol}</a>
            {halted && <span class="halt">{words.value.board.halted}</span>}
            {move && <span class="tag">{words.value.screener.moves[move as "enter" | "leave"]}</span>}
          </th>
        ) : (
          <td key={field} data-field={field} />
        ),
      )}
    </tr>
  );
}

/**
 * Write quotes into the cells. A frame with a change, and a scroll, update the visible rows; a render updates all rows,
 * because the search of the browser and screen readers also find the rows outside of the viewport.
 */
function usePaintedCells(
  body: { current: HTMLTableSectionElement | null },
  { paintQueue: frames, quotes }: MatchStream,
): void {
  const visible = useRef<HTMLTableRowElement[]>([]);
  const paintVisible = useCallback(() => {
    visible.current = visibleRows(body.current);
    for (const row of visible.current) paint(row, quotes);
  }, [body, quotes]);
  useLayoutEffect(() => {
    visible.current = visibleRows(body.current);
    for (const row of body.current?.rows ?? []) paint(row, quotes);
  });
  useEffect(() => {
    const scroller = body.current?.closest(".scroller");
    scroller?.addEventListener("scroll", paintVisible, { passive: true });
    const end = frames.subscribe((changed) => {
      for (const row of visible.current) if (changed.has(row.dataset.symbol ?? "")) paint(row, quotes);
    });
    return () => {
      scroller?.removeEventListener("scroll", paintVisible);
      end();
    };
  }, [body, frames, quotes, paintVisible]);
}

/** Return the visible rows. All rows have the same height. */
function visibleRows(body: HTMLTableSectionElement | null): HTMLTableRowElement[] {
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
    const text = formatField(field, quote, about);
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
    return quote ? fieldValue(by, quote, instruments.value.get(symbol)) : null;
  };
  return (one: string, other: string): number => {
    const [a, b] = [value(one), value(other)];
    if (a === null || b === null) return Number(a === null) - Number(b === null) || (one < other ? -1 : 1);
    if (a === b) return one < other ? -1 : 1;
    return a < b === descending ? 1 : -1;
  };
}
