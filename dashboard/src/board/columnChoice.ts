import { computed, signal } from "@preact/signals";
import { hasForm, isBoolean, oneOf, pref } from "../shell/prefs";
import { type ColumnId, columnIds, DEFAULT_COLUMNS } from "./columnIds";
import { columnOf } from "./columns";

/** A column that the user has chosen; `width` is in px, and null lets the board decide. */
export interface ChosenColumn {
  id: ColumnId;
  width: number | null;
}

export const WIDTH_LIMITS = { min: 40, max: 600 };
/** With compact rows, a board of this width has room for all columns. */
const WIDE_PX = 1_900;
/** The width of the column of stars. */
const STAR_PX = 34;

const isColumn = hasForm<ChosenColumn>({
  id: oneOf(...columnIds),
  width: (value): value is number | null =>
    value === null || (typeof value === "number" && value >= WIDTH_LIMITS.min && value <= WIDTH_LIMITS.max),
});
const areColumns = (value: unknown): value is ChosenColumn[] | null =>
  value === null ||
  (Array.isArray(value) && value.every(isColumn) && new Set(value.map(({ id }) => id)).size === value.length);

/** Whether the rows have a small height. */
export const compactRows = pref("board.compact", false, isBoolean, { share: true });
/** The columns that the user has chosen, in order; null before a choice. */
export const chosenColumns = pref<ChosenColumn[] | null>("board.columns", null, areColumns, { share: true });

const windowWidth = signal(innerWidth);
addEventListener("resize", () => {
  windowWidth.value = innerWidth;
});

const automatic = (ids: readonly ColumnId[]): ChosenColumn[] => ids.map((id) => ({ id, width: null }));

/** The columns of the board, in order. */
export const shownColumns = computed<readonly ChosenColumn[]>(
  () => chosenColumns.value ?? automatic(fillsWideScreen() ? columnIds : DEFAULT_COLUMNS),
);

/** Whether the style sheet decides which of the default columns have room. */
export const hasDefaultColumns = computed(() => chosenColumns.value === null && !fillsWideScreen());

const fillsWideScreen = (): boolean => compactRows.value && windowWidth.value >= WIDE_PX;

/** Return the tracks of the CSS grid of a row, and the least width of the row in px. */
export function gridTracks(shown: readonly ChosenColumn[]): { tracks: string; minWidth: number } {
  const tracks = shown.map(({ id, width }) => {
    const { min, grow } = columnOf(id);
    if (width !== null) return { track: `${width}px`, min: width };
    return { track: grow > 0 ? `minmax(${min}px, ${grow}fr)` : `${min}px`, min };
  });
  return {
    tracks: [`${STAR_PX}px`, ...tracks.map(({ track }) => track)].join(" "),
    minWidth: tracks.reduce((sum, { min }) => sum + min, STAR_PX),
  };
}

export function toggleColumn(id: ColumnId): void {
  const shown = shownColumns.value;
  const without = shown.filter((each) => each.id !== id);
  // The symbol identifies the row.
  if (id === "symbol") return;
  chosenColumns.value = without.length < shown.length ? without : [...shown, { id, width: null }];
}

/** Move a column by a number of places. */
export function moveColumn(id: ColumnId, by: -1 | 1): void {
  const shown = [...shownColumns.value];
  const from = shown.findIndex((each) => each.id === id);
  const to = from + by;
  const moved = shown[from];
  if (!moved || to < 0 || to >= shown.length) return;
  shown.splice(from, 1);
  shown.splice(to, 0, moved);
  chosenColumns.value = shown;
}

/** Set the width of a column in px; null lets the board decide. */
export function resizeColumn(id: ColumnId, width: number | null): void {
  const { min, max } = WIDTH_LIMITS;
  const limited = width === null ? null : Math.min(max, Math.max(min, Math.round(width)));
  chosenColumns.value = shownColumns.value.map((each) => (each.id === id ? { id, width: limited } : each));
}
