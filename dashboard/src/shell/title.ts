import { computed, signal } from "@preact/signals";
import { decimalsFor } from "../board/decimals";
import { quoteChangeRate } from "../format/decimals";
import { percent, price } from "../format/numbers";
import { haltedSymbols, quotes, stale } from "../live/marketData";
import { words } from "../words";

/** The shortest time between two changes of the title, which browsers show in many places. */
const UPDATE_MS = 1_000;

let timer = 0;
const symbol = signal("");
const priceText = signal("");

/**
 * The price in the title of the tab, such as "AAPL 187.20 +0.42%"; "" without a symbol.
 *
 * A title cannot show grey text. The title therefore omits a price that may be old, and names the halt of a halted
 * symbol.
 */
export const titlePrice = computed(() => {
  if (!priceText.value) return "";
  if (stale.value !== null) return symbol.value;
  const halt = haltedSymbols.value.has(symbol.value) ? ` (${words.value.board.halted})` : "";
  return `${symbol.value} ${priceText.value}${halt}`;
});

/** Show the price of a symbol in the title of the tab; "" removes it. */
export function setTitleSymbol(to: string): void {
  symbol.value = to;
  window.clearInterval(timer);
  update();
  if (to) timer = window.setInterval(update, UPDATE_MS);
}

function update(): void {
  const quote = quotes.get(symbol.value);
  priceText.value = quote ? `${price(quote.last, decimalsFor(quote))} ${percent(quoteChangeRate(quote))}` : "";
}
