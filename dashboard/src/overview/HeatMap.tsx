import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { BoardQuote } from "../api/types";
import { quoteChangeRate } from "../format/decimals";
import { percent } from "../format/numbers";
import { haltedSymbols, instruments, quotes, symbolCount } from "../live/marketData";
import { relativeToCurrency, tradedValue } from "../live/tradedValue";
import { oneOf, pref } from "../shell/prefs";
import { href } from "../shell/route";
import { Choice } from "../shell/Settings";
import { instrumentName, sectorTitle, words } from "../words";
import { type Box, type Leaf, layoutTreemap } from "./treemap";

/** The area of a tile. */
const weights = ["cap", "turnover", "equal"] as const;
type Weight = (typeof weights)[number];
const weight = pref<Weight>("overview.weight", "cap", oneOf(...weights));

/** The tiles move at most once in this time, because tiles that move more often are hard to read. */
const LAYOUT_MS = 15_000;
/**
 * The change of the symbol at this rank (0 to 1, by the size of its change) has the strongest colour. FULL_COLOUR_RATES
 * limits this change.
 */
const FULL_COLOUR_RANK = 0.9;
const FULL_COLOUR_RATES = { min: 0.2, max: 3 };
/** The percentage of colour in the strongest tile, on which text is still readable. */
const MAX_COLOUR = 45;
/** A smaller tile is too small for a finger, so it is no link. */
const MIN_LINK_PX = 24;

/** A map of all symbols by sector: the area is the market value, and the colour is the change. */
export function HeatMap() {
  const { overview: labels } = words.value;
  const box = useRef<HTMLDivElement>(null);
  const size = useSize(box);
  const round = useRounds(LAYOUT_MS);
  const sectors = useMemo(
    () => layoutTreemap(leaves(weight.value), size.width, size.height),
    [size, round, weight.value, symbolCount.value, instruments.value],
  );
  const fullRate = fullColourRate();
  return (
    <section class="card heat-map">
      <header>
        <h2>{labels.heatMap}</h2>
        <Choice<Weight>
          label={labels.area}
          value={weight.value}
          options={weights.map((each) => [each, labels.weights[each]])}
          choose={(to) => {
            weight.value = to;
          }}
        />
      </header>
      <div ref={box} class="treemap prices">
        {sectors.map(({ name, tiles, ...place }) => (
          <div key={name}>
            <SectorTitle name={name} place={place} />
            {tiles.map(({ symbol, ...tile }) => (
              <Tile key={symbol} symbol={symbol} place={tile} fullRate={fullRate} />
            ))}
          </div>
        ))}
      </div>
      {sectors.length === 0 && size.width > 0 && <p class="muted">{labels.noWeights}</p>}
    </section>
  );
}

function leaves(by: Weight): Leaf[] {
  const about = instruments.value;
  const value = {
    cap: (quote: BoardQuote) => (about.get(quote.symbol)?.shares ?? 0) * (quote.last ?? 0),
    turnover: tradedValue,
    equal: () => 1,
  }[by];
  const weightOf = relativeToCurrency(quotes.values(), about, value);
  return [...quotes.values()].map((quote) => {
    return { symbol: quote.symbol, sector: about.get(quote.symbol)?.sector ?? "", weight: weightOf(quote) };
  });
}

/**
 * Return the change in percent that has the strongest colour. The result depends on the moves of the market, so the
 * colours also differ in a quiet market.
 */
function fullColourRate(): number {
  const moves = [...quotes.values()].map((quote) => Math.abs(quoteChangeRate(quote) ?? 0)).sort((a, b) => a - b);
  const { min, max } = FULL_COLOUR_RATES;
  return Math.min(max, Math.max(min, moves[Math.floor(moves.length * FULL_COLOUR_RANK)] ?? 0));
}

const position = ({ x, y, width, height }: Box) => ({
  left: `${x}px`,
  top: `${y}px`,
  width: `${width}px`,
  height: `${height}px`,
});

function SectorTitle({ name, place }: { name: string; place: Box }) {
  const title = name ? sectorTitle(name) : words.value.board.other;
  const style = position({ ...place, height: Math.min(place.height, MIN_LINK_PX) });
  if (!name || place.width < 2 * MIN_LINK_PX) return <span class="sector" style={style} title={title} />;
  return (
    <a class="sector" style={style} href={href("board", [], { sector: name })} title={title}>
      {title}
    </a>
  );
}

function Tile({ symbol, place, fullRate }: { symbol: string; place: Box; fullRate: number }) {
  const quote = quotes.get(symbol);
  const rate = quote ? quoteChangeRate(quote) : null;
  const strength = Math.min(1, Math.abs(rate ?? 0) / fullRate);
  const halted = haltedSymbols.value.has(symbol);
  const text = percent(rate) + (halted ? ` · ${words.value.board.halted}` : "");
  const name = instrumentName(instruments.value.get(symbol));
  const attributes = {
    class: `symbol-tile ${(rate ?? 0) > 0 ? "rising" : (rate ?? 0) < 0 ? "falling" : ""}`,
    "data-stale": halted ? "halted" : undefined,
    style: { ...position(place), "--heat": `${Math.round(strength * MAX_COLOUR)}%` },
    title: [symbol, name, text].filter(Boolean).join(" · "),
  };
  if (place.width < MIN_LINK_PX || place.height < MIN_LINK_PX) return <span {...attributes} />;
  const showsSymbol = place.width > 6 * symbol.length + 14;
  const showsRate = showsSymbol && place.width > 52 && place.height > 40;
  return (
    <a
      {...attributes}
      href={href("chart", [symbol])}
      aria-label={showsSymbol && !halted ? undefined : `${symbol} ${text}`}
    >
      {showsSymbol && <b>{symbol}</b>} {showsRate && <span class="numbers">{percent(rate)}</span>}
      {showsRate && halted && place.height > 60 && <small>{words.value.board.halted}</small>}
    </a>
  );
}

function useSize(box: { current: HTMLElement | null }): { width: number; height: number } {
  const [size, setSize] = useState({ width: 0, height: 0 });
  useEffect(() => {
    const node = box.current;
    if (!node) return;
    const observer = new ResizeObserver(() => setSize({ width: node.clientWidth, height: node.clientHeight }));
    observer.observe(node);
    return () => observer.disconnect();
  }, [box]);
  return size;
}

/** Return a number that changes after every `ms`. */
function useRounds(ms: number): number {
  const [round, setRound] = useState(0);
  useEffect(() => {
    const timer = window.setInterval(() => setRound((count) => count + 1), ms);
    return () => window.clearInterval(timer);
  }, [ms]);
  return round;
}
