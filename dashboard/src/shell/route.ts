import { computed, signal } from "@preact/signals";
import { isView, type ViewName } from "./views";

/** Where one is: `#/chart/AAPL?interval=5m` is the view `chart`, the path `["AAPL"]`, and the query. */
export interface Route {
  view: ViewName;
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
  return { view: isView(view) ? view : "board", path: rest.filter(Boolean), query: new URLSearchParams(query) };
});

/** The address of a view, for links. */
export function href(view: ViewName, path: string[] = [], query: Record<string, string> = {}): string {
  const where = [view, ...path].map(encodeURIComponent).join("/");
  const search = new URLSearchParams(query).toString();
  return `#/${where}${search && `?${search}`}`;
}

export function go(view: ViewName, path: string[] = [], query: Record<string, string> = {}): void {
  location.hash = href(view, path, query);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
