import type { ComponentType } from "preact";

/** Loads the module of a view; its default export is the component. */
type Load = () => Promise<{ default: ComponentType }>;

/** Every view, in the order of the navigation. To add one, create a folder, a line here, and a name in `words/`. */
export const views = {
  board: () => import("../board/BoardView"),
  overview: () => import("../overview/OverviewView"),
  chart: () => import("../chart/ChartView"),
  screener: () => import("../screener/ScreenerView"),
  alerts: () => import("../alerts/AlertsView"),
  market: () => import("../market/MarketView"),
  operations: () => import("../operations/OperationsView"),
  connection: () => import("../connection/ConnectionView"),
} satisfies Record<string, Load>;

export type ViewName = keyof typeof views;

export const isView = (name: string): name is ViewName => Object.hasOwn(views, name);
export const viewNames = Object.keys(views) as ViewName[];
export const loaderOf = (name: ViewName): Load => views[name];
