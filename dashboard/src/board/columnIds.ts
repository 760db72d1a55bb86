/** Every column that the board can show. */
export const columnIds = [
  "symbol",
  "name",
  "trend",
  "last",
  "change",
  "rate",
  "bid",
  "ask",
  "volume",
  "range",
  "time",
  "open",
  "high",
  "low",
  "prevClose",
  "turnover",
  "cap",
  "pe",
  "sector",
  "exchange",
  "currency",
] as const;
export type ColumnId = (typeof columnIds)[number];

/** The columns before the user chooses other columns. */
export const DEFAULT_COLUMNS: readonly ColumnId[] = columnIds.slice(0, 11);
