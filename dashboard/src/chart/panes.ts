import { type Interval, isInterval } from "./intervals";

/** The bars of a chart: candles of an interval, or the line of the current session. */
export type ChartKind = Interval | "intraday";

/** One chart of the view: its symbol, its bars, and the symbol that it is compared with ("" for none). */
export interface Pane {
  symbol: string;
  kind: ChartKind;
  compare: string;
}

/** The possible numbers of charts in the view. */
export const LAYOUTS = [1, 2, 4] as const;
export type Layout = (typeof LAYOUTS)[number];
const MAX_PANES = 4;

export const isKind = (text: string | undefined): text is ChartKind => text === "intraday" || isInterval(text);

/** Return the interval of the candles that a chart needs. */
export const candleInterval = (kind: ChartKind): Interval => (kind === "intraday" ? "1m" : kind);

interface PaneDefaults {
  kind: ChartKind;
  /** The query parameter `more` of the last visit. */
  more: string;
}

/**
 * Return the charts of an address such as `#/chart/AAPL/1m?compare=SPY&more=MSFT/5m/,TSLA/1d/SPY`.
 *
 * The path describes the first chart, and `more` describes the others. If the path has no interval, the other charts
 * come from the last visit.
 */
export function parsePanes(path: readonly string[], query: URLSearchParams, defaults: PaneDefaults): Pane[] {
  const [symbol = "", kind] = path;
  const more = query.get("more") ?? (kind === undefined ? defaults.more : "");
  const first: Pane = { symbol, kind: isKind(kind) ? kind : defaults.kind, compare: query.get("compare") ?? "" };
  return [first, ...more.split(",").filter(Boolean).map(parsePane)].slice(0, MAX_PANES);
}

function parsePane(text: string): Pane {
  const [symbol = "", kind, compare = ""] = text.split("/").map(decode);
  return { symbol, kind: isKind(kind) ? kind : "1m", compare };
}

/** Return the path and the query of the address of some charts. */
export function paneAddress([first, ...others]: readonly Pane[]): { path: string[]; query: Record<string, string> } {
  const query: Record<string, string> = {};
  if (first?.compare) query.compare = first.compare;
  if (others.length > 0) query.more = others.map(paneText).join(",");
  return { path: first ? [first.symbol, first.kind] : [], query };
}

const paneText = ({ symbol, kind, compare }: Pane): string => [symbol, kind, compare].map(encodeURIComponent).join("/");

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Return the charts after a change of their number. New charts show the first unshown `candidates`. */
export function resized(panes: readonly Pane[], count: Layout, candidates: readonly string[]): Pane[] {
  const shown = new Set(panes.map(({ symbol }) => symbol));
  const free = candidates.filter((symbol) => !shown.has(symbol));
  const [first] = panes;
  const added = Array.from({ length: Math.max(0, count - panes.length) }, (_, index) => ({
    symbol: free[index] ?? first?.symbol ?? "",
    kind: first?.kind ?? "1m",
    compare: "",
  }));
  return [...panes, ...added].slice(0, count);
}
