import { useEffect, useRef } from "preact/hooks";
import { Text, Tone, trendOf } from "../board/cells";
import { decimalsFor } from "../board/decimals";
import { percent, price, signed } from "../format/numbers";
import { frames, quotes } from "../live/market";
import { locale } from "../words";

const FLASH = 600; // ms

/** The newest price of a symbol, as it moves. */
export function Price({ symbol }: { symbol: string }) {
  const box = useRef<HTMLParagraphElement>(null);
  const language = locale.value;
  useEffect(() => (box.current ? show(box.current, symbol) : undefined), [symbol, language]);
  return (
    <p class="price" ref={box}>
      <strong class="numbers" />
      <span class="numbers" />
    </p>
  );
}

function show(box: HTMLElement, symbol: string): () => void {
  const [last, change] = [...box.children] as [HTMLElement, HTMLElement];
  const texts = [new Text(last), new Text(change)] as const;
  const tone = new Tone(box, "price");
  let before: number | null = null;
  const paint = (): void => {
    const quote = quotes.get(symbol);
    if (!quote) return;
    const decimals = decimalsFor(quote);
    texts[0].set(price(quote.last, decimals));
    texts[1].set(`${signed(quote.change, decimals)} (${percent(quote.change_rate)})`);
    tone.set(trendOf(quote.change));
    if (before !== null && quote.last !== null && quote.last !== before) {
      light(last, quote.last > before ? "up" : "down");
    }
    before = quote.last;
  };
  for (const text of texts) text.set("");
  paint();
  return frames.each((changed) => changed.has(symbol) && paint());
}

/** Let a price that moved light up. */
function light(node: HTMLElement, way: "up" | "down"): void {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const running of node.getAnimations()) running.cancel();
  node.animate(
    [{ background: `color-mix(in srgb, var(--${way}) 30%, transparent)` }, { background: "transparent" }],
    FLASH,
  );
}
