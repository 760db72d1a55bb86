import { computed, signal, untracked, useSignalEffect } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { usePinyin } from "../format/pinyin";
import { instruments, quotes, quotesForbidden, stale, symbolCount } from "../live/marketData";
import { hasForm, isBoolean, oneOf, pref } from "../shell/prefs";
import { href, navigate, route } from "../shell/route";
import { sectorTitle, words } from "../words";
import { type BoardState, boardQuery, DEFAULT_STATE, stateIn } from "./boardAddress";
import { ColumnHeaders } from "./ColumnHeaders";
import { ColumnMenu } from "./ColumnMenu";
import { compactRows, gridTracks, hasDefaultColumns, shownColumns } from "./columnChoice";
import { columnIds } from "./columnIds";
import { columnOf } from "./columns";
import { download, toCsv } from "./csv";
import { Grid, type GridPosition } from "./Grid";
import { buildLines, type Line } from "./lines";
import { originText, staleText } from "./priceLabels";
import { WatchlistTabs } from "./WatchlistTabs";
import { selectedList, selectList } from "./watchlists";
import "./board.css";

/** The rows change their places at most once in this time, because rows that move more often cannot be read. */
const REORDER_MS = 1000;

const search = signal("");
const sort = pref<BoardState["sort"]>(
  "sort",
  DEFAULT_STATE.sort,
  hasForm({ by: oneOf(...columnIds), descending: isBoolean }),
);
const sector = signal<string | null>(null);
const grouped = pref("grouped", false, isBoolean);
const folded = signal<ReadonlySet<string>>(new Set());
/** Changes when rows that are sorted by a live value must be sorted again. */
const reorderTick = signal(0);
/** The position on the board when the user went to another view. */
let savedPosition: GridPosition | null = null;

const shownLines = computed<Line[]>(() => {
  void [symbolCount.value, reorderTick.value];
  const only = selectedList.value && new Set(selectedList.value.symbols);
  const query = {
    search: search.value,
    only,
    sector: sector.value,
    sort: sort.value,
    grouped: grouped.value,
    folded: folded.value,
  };
  const { other } = words.value.board;
  const title = (sector: string): string => (sector ? sectorTitle(sector) : other);
  return buildLines(quotes.values(), instruments.value, query, title);
});

export default function BoardView() {
  const { board, rights, views } = words.value;
  const scroller = useRef<HTMLDivElement>(null);
  const body = useRef<HTMLDivElement>(null);
  const grid = useRef<Grid | null>(null);
  const field = useRef<HTMLInputElement>(null);
  usePinyin(search.value, instruments.value);

  useEffect(() => {
    if (!scroller.current || !body.current) return;
    const newGrid = new Grid(scroller.current, body.current, { open: (symbol) => navigate("chart", [symbol]), fold });
    grid.current = newGrid;
    newGrid.setLines(shownLines.peek());
    if (savedPosition) newGrid.restore(savedPosition);
    const timer = window.setInterval(reorder, REORDER_MS);
    const onKey = (event: KeyboardEvent) => focusSearchOnSlash(event, field.current);
    document.addEventListener("keydown", onKey);
    return () => {
      newGrid.close();
      window.clearInterval(timer);
      document.removeEventListener("keydown", onKey);
    };
  }, []);
  // The position is read from the elements, and a layout effect is cleaned up while the elements still exist.
  useLayoutEffect(() => () => savePosition(grid.current), []);
  useSignalEffect(() => grid.current?.setLines(shownLines.value));
  useSignalEffect(() => {
    const { view, query } = route.value;
    if (view === "board") untracked(() => applyState(stateIn(query)));
  });
  useSignalEffect(() => {
    // The view still exists when the page sets the address of the next view, which must not be overwritten.
    if (route.value.view === "board") writeAddress();
  });
  const { tracks, minWidth } = gridTracks(shownColumns.value);

  return (
    <section class="board" data-stale={stale.value ?? undefined}>
      <h1 class="visually-hidden">{views.board}</h1>
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
          onKeyDown={(event) => leaveSearch(event, grid.current)}
        />
        <WatchlistTabs />
        {sector.value !== null && (
          <button
            type="button"
            aria-label={board.clearSector}
            title={board.clearSector}
            onClick={() => {
              sector.value = null;
            }}
          >
            {sector.value ? sectorTitle(sector.value) : board.other} ✕
          </button>
        )}
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
        <ColumnMenu />
        <button type="button" title={board.exportAbout} onClick={exportRows}>
          CSV
        </button>
        <small id="count">{board.count(shownLines.value.filter((line) => line.kind === "symbol").length)}</small>
      </div>
      <div
        ref={scroller}
        class="grid"
        role="grid"
        tabIndex={0}
        aria-label={views.board}
        data-compact={compactRows.value || undefined}
        data-chosen={!hasDefaultColumns.value || undefined}
        style={hasDefaultColumns.value ? {} : { "--chosen-columns": tracks, "--chosen-width": `${minWidth}px` }}
      >
        <ColumnHeaders sort={sort} />
        <div ref={body} class="lines" role="rowgroup" />
      </div>
      {symbolCount.value > 0 && shownLines.value.length === 0 && (
        <p class="note empty">{selectedList.value && !search.value ? board.emptyList : board.nothing}</p>
      )}
      {symbolCount.value === 0 && <p class="note empty">{quotesForbidden.value ? rights.noQuotes : board.waiting}</p>}
    </section>
  );
}

/** Apply the state in an address. */
function applyState(state: BoardState | null): void {
  if (state === null) return;
  search.value = state.search;
  sort.value = state.sort;
  grouped.value = state.grouped;
  sector.value = state.sector;
  selectList(state.list);
}

/** Write the state into the address, without a new entry in the history of the browser. */
function writeAddress(): void {
  const list = selectedList.value?.name ?? null;
  const state = { search: search.value, sort: sort.value, grouped: grouped.value, sector: sector.value, list };
  const address = href("board", [], boardQuery(state));
  // The empty address also shows the board.
  if (address !== (location.hash || href("board"))) history.replaceState(null, "", address);
}

/**
 * Save the rows of the board as a file. The file contains the values as numbers, the origin of the prices, and the
 * reason if prices may be old.
 */
function exportRows(): void {
  const shown = shownColumns.value.map(({ id }) => columnOf(id)).filter((column) => column.value !== undefined);
  const origin = originText();
  const rows = shownLines.value.flatMap((line) => {
    const quote = line.kind === "symbol" ? quotes.get(line.symbol) : undefined;
    if (!quote) return [];
    const about = instruments.value.get(quote.symbol);
    const values = shown.map(({ id, value }) =>
      id === "time" ? new Date(quote.ts / 1000).toISOString() : (value?.(quote, about) ?? null),
    );
    return [[...values, origin, staleText(quote.symbol)]];
  });
  const { mode, state } = words.value.operations;
  download("board.csv", toCsv([[...shown.map(({ label }) => label(words.value)), mode, state], ...rows]));
}

function fold(group: string): void {
  const next = new Set(folded.value);
  if (!next.delete(group)) next.add(group);
  folded.value = next;
}

function savePosition(grid: Grid | null): void {
  savedPosition = grid?.position ?? null;
}

function reorder(): void {
  if (columnOf(sort.value.by).live && !document.hidden) reorderTick.value += 1;
}

function focusSearchOnSlash(event: KeyboardEvent, field: HTMLInputElement | null): void {
  const typing = event.target instanceof Element && event.target.closest("input, select, textarea");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  field?.focus();
  field?.select();
}

function leaveSearch(event: KeyboardEvent, grid: Grid | null): void {
  if (event.key === "Escape") search.value = "";
  if (!["Escape", "ArrowDown", "Enter"].includes(event.key)) return;
  event.preventDefault();
  grid?.focus();
}
