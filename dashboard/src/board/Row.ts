import type { Brief } from "../api/types";
import { compact, NONE, percent, price, signed } from "../format/numbers";
import { timeOfDay } from "../format/times";
import { href } from "../shell/route";
import { cell, element, Flash, Text, Tone, trendOf } from "./cells";
import { place } from "./columns";
import { decimalsFor } from "./decimals";

const SVG = "http://www.w3.org/2000/svg";

/** One row of the board. Rows are few and are used again: scrolling shows another symbol in the same elements. */
export class Row {
  readonly node = element("div", "row");
  symbol = "";
  private shown: Brief | null = null;
  private readonly star = document.createElement("button");
  private readonly link = document.createElement("a");
  private readonly name = new Text(cell("name"));
  private readonly last = new Text(cell("last"));
  private readonly change = new Text(cell("change"));
  private readonly rate = new Text(cell("rate"));
  private readonly bid = new Text(element("span", ""));
  private readonly bidSize = new Text(element("small", ""));
  private readonly ask = new Text(element("span", ""));
  private readonly askSize = new Text(element("small", ""));
  private readonly volume = new Text(cell("volume"));
  private readonly range = new Text(element("span", "unseen"));
  private readonly bar = element("i", "bar");
  private readonly time = new Text(cell("time"));
  private readonly line = document.createElementNS(SVG, "polyline");
  private readonly flash: Flash;
  private readonly tone: Tone;

  constructor(id: string, lit: Set<Flash>) {
    this.node.id = id;
    this.node.setAttribute("role", "row");
    this.star.type = "button";
    this.star.tabIndex = this.link.tabIndex = -1; // the grid has the focus; keys do the same
    this.flash = new Flash(this.last.node, "cell last", lit);
    this.tone = new Tone(this.node, "row");
    this.node.append(
      cell("star", this.star),
      cell("symbol", this.link),
      this.name.node,
      cell("trend", this.spark()),
      this.last.node,
      this.change.node,
      this.rate.node,
      cell("bid", this.bidSize.node, this.bid.node),
      cell("ask", this.ask.node, this.askSize.node),
      this.volume.node,
      cell("range", this.bar, this.range.node),
      this.time.node,
    );
  }

  /** Show another symbol; nothing of the one before is left. */
  assign(symbol: string): void {
    this.symbol = symbol;
    this.shown = null;
    this.flash.off();
    this.link.textContent = symbol;
    this.link.href = href("chart", [symbol]);
    this.node.dataset.symbol = symbol;
  }

  setName(name: string): void {
    this.name.set(name);
  }

  /** Whether the price may not be the newest, and the words for it; "" where it is. */
  setStale(why: string, said: string): void {
    if (why === (this.node.dataset.stale ?? "")) return;
    if (why) this.node.dataset.stale = why;
    else delete this.node.dataset.stale;
    this.node.title = said;
  }

  setStar(on: boolean, label: string): void {
    this.star.textContent = on ? "★" : "☆";
    this.star.setAttribute("aria-pressed", String(on));
    this.star.setAttribute("aria-label", label);
  }

  /** Show a quote; what moved lights up, where this row showed the same symbol before. */
  paint(quote: Brief, now: number): void {
    const before = this.shown?.last ?? null;
    this.shown = quote;
    const decimals = decimalsFor(quote);
    this.tone.set(trendOf(quote.change));
    this.last.set(price(quote.last, decimals));
    this.change.set(signed(quote.change, decimals));
    this.rate.set(percent(quote.change_rate));
    this.bid.set(price(quote.bid, decimals));
    this.ask.set(price(quote.ask, decimals));
    this.bidSize.set(quote.bid_size === null ? "" : compact(quote.bid_size));
    this.askSize.set(quote.ask_size === null ? "" : compact(quote.ask_size));
    this.volume.set(compact(quote.volume));
    this.time.set(timeOfDay(quote.ts / 1000));
    this.paintRange(quote, decimals);
    if (before !== null && quote.last !== null && quote.last !== before) {
      this.flash.light(quote.last > before ? "up" : "down", now);
    }
  }

  /** All again, in another language or with other decimals. */
  repaint(now: number): void {
    if (this.shown) this.paint(this.shown, now);
  }

  draw(points: string): void {
    this.line.setAttribute("points", points);
  }

  private paintRange(quote: Brief, decimals: number): void {
    const at = place(quote);
    this.bar.style.setProperty("--at", at === null ? "-1" : at.toFixed(3));
    this.bar.hidden = at === null;
    this.range.set(at === null ? NONE : `${price(quote.low, decimals)} – ${price(quote.high, decimals)}`);
  }

  private spark(): SVGElement {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 100 20");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(this.line);
    return svg;
  }
}
