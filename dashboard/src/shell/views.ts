import type { ComponentType } from "preact";

/** A view's module has its component as the default export. It is loaded when one first goes there. */
type Load = () => Promise<{ default: ComponentType }>;

/** Every view, in the order of the navigation. Another one: a folder beside `board/`, a line here, a word in `words/`. */
export const views = {
  board: () => import("../board/BoardView"),
  chart: () => import("../chart/ChartView"),
  screener: () => import("../screener/ScreenerView"),
  market: () => import("../market/MarketView"),
  operations: () => import("../operations/OperationsView"),
  connection: () => import("../connection/ConnectionView"),
} satisfies Record<string, Load>;

export type ViewName = keyof typeof views;

export const isView = (name: string): name is ViewName => name in views;
export const listed = Object.keys(views) as ViewName[];
export const loaderOf = (name: ViewName): Load => views[name];
