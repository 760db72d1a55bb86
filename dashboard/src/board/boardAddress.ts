import { type ColumnId, columnIds } from "./columnIds";

/** The state of the board, except for its columns. */
export interface BoardState {
  search: string;
  sort: { by: ColumnId; descending: boolean };
  grouped: boolean;
  /** The shown sector; null for all sectors. */
  sector: string | null;
  /** The name of the shown watchlist; null for all symbols. */
  list: string | null;
}

export const DEFAULT_STATE: BoardState = {
  search: "",
  sort: { by: "symbol", descending: false },
  grouped: false,
  sector: null,
  list: null,
};

/** Return the query of the board's address: the state that differs from the default state. */
export function boardQuery({ search, sort, grouped, sector, list }: BoardState): Record<string, string> {
  const query: Record<string, string> = {};
  if (search) query.search = search;
  if (sort.by !== "symbol" || sort.descending) query.sort = `${sort.descending ? "-" : ""}${sort.by}`;
  if (grouped) query.group = "sector";
  if (sector !== null) query.sector = sector;
  if (list !== null) query.list = list;
  return query;
}

/** Return the state in a query. Return null for an empty query, which leaves the board unchanged. */
export function stateIn(query: URLSearchParams): BoardState | null {
  if (query.size === 0) return null;
  const sort = query.get("sort") ?? "";
  const by = sort.replace(/^-/, "") as ColumnId;
  return {
    search: query.get("search") ?? "",
    sort: columnIds.includes(by) ? { by, descending: sort.startsWith("-") } : DEFAULT_STATE.sort,
    grouped: query.get("group") === "sector",
    sector: query.get("sector"),
    list: query.get("list"),
  };
}
