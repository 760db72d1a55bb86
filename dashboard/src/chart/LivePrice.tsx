import { useEffect, useRef } from "preact/hooks";
import { ClassWriter, TextWriter, trendOf } from "../board/cells";
import { decimalsFor } from "../board/decimals";
import { quoteChangeRate } from "../format/decimals";
import { percent, price, signed } from "../format/numbers";
import { paintQueue, quotes } from "../live/marketData";
import { locale } from "../words";

const FLASH_MS = 600;

/** The newest price of a symbol and its change. Every quote repaints them. */
export function LivePrice({ symbol }: { symbol: string }) {
  const box = useRef<HTMLParagraphElement>(null);
  const language = locale.value;
  useEffect(() => (box.current ? paintInto(box.current, symbol) : undefined), [symbol, language]);
  return (
    <p class="price prices" ref={box}>
      <strong class="numbers" />
      <span class="numbers" />
    </p>
  );
}

function paintInto(box: HTMLElement, symbol: string): () => void {
  const [last, change] = [...box.children] as [HTMLElement, HTMLElement];
  const texts = [new TextWriter(last), new TextWriter(change)] as const;
  const classes = new ClassWriter(box, "price prices");
  let previous: number | null = null;
  const paint = (): void => {
    const quote = quotes.get(symbol);
    if (!quote) return;
    const decimals = decimalsFor(quote);
    texts[0].set(price(quote.last, decimals));
    texts[1].set(`${signed(quote.change, decimals)} (${percent(quoteChangeRate(quote))})`);
    classes.set(trendOf(quote.change));
    if (previous !== null && quote.last !== null && quote.last !== previous) {
      flash(last, quote.last > previous ? "up" : "down");
    }
    previous = quote.last;
  };
  for (const text of texts) text.set("");
  paint();
  return paintQueue.subscribe((changed) => changed.has(symbol) && paint());
}

/** Highlight a price that changed, unless the user prefers reduced motion. */
function flash(node: HTMLElement, direction: "up" | "down"): void {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const running of node.getAnimations()) running.cancel();
  node.animate(
    [{ background: `color-mix(in srgb, var(--${direction}) 30%, transparent)` }, { background: "transparent" }],
    FLASH_MS,
  );
}
