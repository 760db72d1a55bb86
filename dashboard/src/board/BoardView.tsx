import { computed, signal, useSignalEffect } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { instruments, quotes, stale, symbolCount } from "../live/market";
import { pref } from "../shell/prefs";
import { go } from "../shell/route";
import { words } from "../words";
import { type ColumnId, columnOf, columns } from "./columns";
import { Grid, type Stand } from "./Grid";
import { Lists } from "./Lists";
import { current } from "./lists";
import { type Line, lines, type Wish } from "./order";
import "./board.css";

const REORDER = 1000; // ms: rows that change places more often cannot be read

const search = signal("");
const sort = pref<Wish["sort"]>("sort", { by: "symbol", descending: false });
const grouped = pref("grouped", false);
const folded = signal<ReadonlySet<string>>(new Set());
const beat = signal(0); // grows when a live order is to be made anew
let left: Stand | null = null; // where one was when another view was gone to

const shownLines = computed<Line[]>(() => {
  void [symbolCount.value, beat.value];
  const only = current.value && new Set(current.value.symbols);
  const wish = { search: search.value, only, sort: sort.value, grouped: grouped.value, folded: folded.value };
  const { other, sectors } = words.value.board;
  return lines(quotes.values(), instruments.value, wish, (sector) => (sector ? (sectors[sector] ?? sector) : other));
});

export default function BoardView() {
  const { board, views } = words.value;
  const scroller = useRef<HTMLDivElement>(null);
  const body = useRef<HTMLDivElement>(null);
  const grid = useRef<Grid | null>(null);
  const field = useRef<HTMLInputElement>(null);

  useEffect(() => {
    if (!scroller.current || !body.current) return;
    const made = new Grid(scroller.current, body.current, { open: (symbol) => go("chart", [symbol]), fold });
    grid.current = made;
    made.set(shownLines.peek());
    if (left) made.takeUp(left);
    const timer = window.setInterval(reorder, REORDER);
    const onKey = (event: KeyboardEvent) => slash(event, field.current);
    document.addEventListener("keydown", onKey);
    return () => {
      made.close();
      window.clearInterval(timer);
      document.removeEventListener("keydown", onKey);
    };
  }, []);
  useLayoutEffect(() => () => leaveFrom(grid.current), []); // while the elements are still there
  useSignalEffect(() => grid.current?.set(shownLines.value));

  return (
    <section class="board" data-stale={stale.value ?? undefined}>
      <h1 class="unseen">{views.board}</h1>
      <div class="tools">
        <input
          ref={field}
          type="search"
          id="find"
          placeholder={board.search}
          aria-label={board.search}
          aria-keyshortcuts="/"
          value={search.value}
          onInput={(event) => {
            search.value = event.currentTarget.value;
          }}
          onKeyDown={(event) => leave(event, grid.current)}
        />
        <Lists />
        <span class="spring" />
        <button
          type="button"
          aria-pressed={grouped.value}
          onClick={() => {
            grouped.value = !grouped.value;
          }}
        >
          {board.group}
        </button>
        <small id="count">{board.count(shownLines.value.filter((line) => line.kind === "symbol").length)}</small>
      </div>
      <div ref={scroller} class="grid" role="grid" tabIndex={0} aria-label={views.board} aria-colcount={12}>
        <Heads />
        <div ref={body} class="lines" role="rowgroup" />
      </div>
      {symbolCount.value > 0 && shownLines.value.length === 0 && (
        <p class="note empty">{current.value && !search.value ? board.emptyList : board.nothing}</p>
      )}
      {symbolCount.value === 0 && <p class="note empty">{board.waiting}</p>}
    </section>
  );
}

function Heads() {
  return (
    <div role="rowgroup" class="heads">
      <div role="row" class="row" aria-rowindex={1}>
        <div role="columnheader" class="cell star">
          <span class="unseen">{words.value.board.starred}</span>
        </div>
        {columns.map(({ id, label, value }) => (
          <div key={id} role="columnheader" class={`cell ${id}`} aria-sort={value ? order(id) : undefined}>
            {value ? (
              <button type="button" onClick={() => sortBy(id)}>
                {label(words.value)}
              </button>
            ) : (
              label(words.value)
            )}
          </div>
        ))}
      </div>
    </div>
  );
}

const order = (id: ColumnId) =>
  id !== sort.value.by ? "none" : sort.value.descending ? ("descending" as const) : ("ascending" as const);

/** First the way that one looks for: names from A, numbers from the largest. */
function sortBy(id: ColumnId): void {
  const again = sort.value.by === id;
  const text = id === "symbol" || id === "name";
  sort.value = { by: id, descending: again ? !sort.value.descending : !text };
}

function fold(group: string): void {
  const next = new Set(folded.value);
  if (!next.delete(group)) next.add(group);
  folded.value = next;
}

function leaveFrom(grid: Grid | null): void {
  left = grid?.stand ?? null;
}

function reorder(): void {
  if (columnOf(sort.value.by).live && !document.hidden) beat.value += 1;
}

function slash(event: KeyboardEvent, field: HTMLInputElement | null): void {
  const typing = event.target instanceof Element && event.target.closest("input, select, textarea");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  field?.focus();
  field?.select();
}

function leave(event: KeyboardEvent, grid: Grid | null): void {
  if (event.key === "Escape") search.value = "";
  if (!["Escape", "ArrowDown", "Enter"].includes(event.key)) return;
  event.preventDefault();
  grid?.focus();
}
