import { computed, signal } from "@preact/signals";
import { isView, type ViewName } from "./views";

/**
 * The current address: `#/chart/AAPL?interval=5m` is the view `chart`, the path `["AAPL"]`, and the query.
 *
 * The view of an unknown address is null. The empty address is the board.
 */
export interface Route {
  view: ViewName | null;
  path: string[];
  query: URLSearchParams;
}

const hash = signal(location.hash);
addEventListener("hashchange", () => {
  hash.value = location.hash;
});

export const route = computed<Route>(() => {
  const [path = "", query = ""] = hash.value.replace(/^#\/?/, "").split("?");
  const [view = "", ...rest] = path.split("/").map(decode);
  return {
    view: isView(view) ? view : view === "" ? "board" : null,
    path: rest.filter(Boolean),
    query: new URLSearchParams(query),
  };
});

/** Return the address of a view, for links. */
export function href(view: ViewName, path: string[] = [], query: Record<string, string> = {}): string {
  const address = [view, ...path].map(encodeURIComponent).join("/");
  const search = new URLSearchParams(query).toString();
  return `#/${address}${search && `?${search}`}`;
}

export function navigate(view: ViewName, path: string[] = [], query: Record<string, string> = {}): void {
  location.hash = href(view, path, query);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
