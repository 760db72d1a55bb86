import { decimalsOf } from "../format/decimals";
import { price } from "../format/numbers";
import { words } from "../words";
import type { Firing, PriceAlert } from "./alertRules";

const MAX_NAMED = 5;

/** Describe a line: "AAPL at or above 250.00". */
export function lineText({ symbol, side, price: line }: Pick<PriceAlert, "symbol" | "side" | "price">): string {
  return words.value.alerts.lineOf[side](symbol, price(line, Math.max(2, decimalsOf(line))));
}

/** Describe an alert that has fired. */
export function firingText({ kind, symbols, price: line, side, filter }: Firing): string {
  const [symbol = ""] = symbols;
  if (kind === "price" && line !== null && side !== null) return lineText({ symbol, side, price: line });
  const more = symbols.length - MAX_NAMED;
  const named = symbols.slice(0, MAX_NAMED).join(", ") + (more > 0 ? words.value.screener.andMore(more) : "");
  return `${named}: ${filter}`;
}
