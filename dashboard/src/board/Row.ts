import type { BoardQuote } from "../api/types";
import { NONE, price, quantity } from "../format/numbers";
import { instruments } from "../live/marketData";
import { href } from "../shell/route";
import { ClassWriter, cell, element, Flash, TextWriter, trendOf } from "./cells";
import type { ColumnId } from "./columnIds";
import { columnOf, rangePosition } from "./columns";
import { decimalsFor } from "./decimals";

const SVG = "http://www.w3.org/2000/svg";

/** A space between a price and its size: without it, the two are copied as one number. */
const separator = (): Text => document.createTextNode(" ");

/** One row of the board. Rows are reused: scrolling shows another symbol in the same elements. */
export class Row {
  readonly node = element("div", "row");
  symbol = "";
  private quote: BoardQuote | null = null;
  private readonly star = document.createElement("button");
  private readonly link = document.createElement("a");
  private readonly name = new TextWriter(cell("name"));
  private readonly last = new TextWriter(cell("last"));
  private readonly bid = new TextWriter(element("span", ""));
  private readonly bidSize = new TextWriter(element("small", ""));
  private readonly ask = new TextWriter(element("span", ""));
  private readonly askSize = new TextWriter(element("small", ""));
  private readonly range = new TextWriter(element("span", "visually-hidden"));
  private readonly bar = element("i", "bar");
  private readonly halt = new TextWriter(element("span", "halt"));
  private readonly line = document.createElementNS(SVG, "polyline");
  private readonly flash: Flash;
  private readonly classes: ClassWriter;
  /** The cells that Row builds itself, by column. */
  private readonly built: Partial<Record<ColumnId, HTMLElement>>;
  /** The cells that show the text of their column. */
  private readonly texts = new Map<ColumnId, TextWriter>();
  private shown: readonly ColumnId[] = [];

  constructor(id: string, lit: Set<Flash>) {
    this.node.id = id;
    this.node.setAttribute("role", "row");
    this.star.type = "button";
    // The grid keeps the focus; its keys do the same as these controls.
    this.star.tabIndex = this.link.tabIndex = -1;
    this.flash = new Flash(this.last.node, "cell last", lit);
    this.classes = new ClassWriter(this.node, "row");
    this.built = {
      symbol: cell("symbol", this.link),
      name: this.name.node,
      trend: cell("trend", this.sparkline(), this.halt.node),
      last: this.last.node,
      bid: cell("bid", this.bidSize.node, separator(), this.bid.node),
      ask: cell("ask", this.ask.node, separator(), this.askSize.node),
      range: cell("range", this.bar, this.range.node),
    };
  }

  /** Show these columns, in this order. */
  setColumns(ids: readonly ColumnId[]): void {
    this.shown = ids;
    this.node.replaceChildren(cell("star", this.star), ...ids.map((id) => this.built[id] ?? this.textCell(id).node));
  }

  private textCell(id: ColumnId): TextWriter {
    const writer = this.texts.get(id) ?? new TextWriter(cell(id));
    this.texts.set(id, writer);
    return writer;
  }

  /** Show another symbol, and forget the values of the previous symbol. */
  assign(symbol: string): void {
    this.symbol = symbol;
    this.quote = null;
    this.flash.stop();
    this.link.textContent = symbol;
    this.link.href = href("chart", [symbol]);
    this.node.dataset.symbol = symbol;
  }

  setName(name: string): void {
    this.name.set(name);
  }

  /**
   * Mark the price as possibly old. `why` is the reason, `text` the tooltip, and `badge` the badge of a halt; ""
   * removes each of them.
   */
  setStale(why: string, text: string, badge: string): void {
    this.halt.set(badge);
    if (why === (this.node.dataset.stale ?? "") && text === this.node.title) return;
    if (why) this.node.dataset.stale = why;
    else delete this.node.dataset.stale;
    this.node.title = text;
  }

  setStar(on: boolean, label: string): void {
    this.star.textContent = on ? "★" : "☆";
    this.star.setAttribute("aria-pressed", String(on));
    this.star.setAttribute("aria-label", label);
  }

  /** Show a quote. The price flashes if it differs from the symbol's previous one. */
  paint(quote: BoardQuote, now: number): void {
    const previous = this.quote?.last ?? null;
    this.quote = quote;
    const decimals = decimalsFor(quote);
    this.classes.set(trendOf(quote.change));
    this.last.set(price(quote.last, decimals));
    this.paintTexts(quote, decimals);
    this.bid.set(price(quote.bid, decimals));
    this.ask.set(price(quote.ask, decimals));
    const about = instruments.peek().get(quote.symbol);
    this.bidSize.set(quote.bid_size === null ? "" : quantity(quote.bid_size, about));
    this.askSize.set(quote.ask_size === null ? "" : quantity(quote.ask_size, about));
    this.paintRange(quote, decimals);
    if (previous !== null && quote.last !== null && quote.last !== previous) {
      this.flash.start(quote.last > previous ? "up" : "down", now);
    }
  }

  /** Show the same quote again, after a change of the language or of the decimals. */
  repaint(now: number): void {
    if (this.quote) this.paint(this.quote, now);
  }

  drawSparkline(points: string): void {
    this.line.setAttribute("points", points);
  }

  private paintTexts(quote: BoardQuote, decimals: number): void {
    const about = instruments.peek().get(quote.symbol);
    for (const id of this.shown) {
      const text = columnOf(id).text?.(quote, about, decimals);
      if (text !== undefined) this.textCell(id).set(text);
    }
  }

  private paintRange(quote: BoardQuote, decimals: number): void {
    const position = rangePosition(quote);
    this.bar.style.setProperty("--at", position === null ? "-1" : position.toFixed(3));
    this.bar.hidden = position === null;
    this.range.set(position === null ? NONE : `${price(quote.low, decimals)} – ${price(quote.high, decimals)}`);
  }

  private sparkline(): SVGElement {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 100 20");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(this.line);
    return svg;
  }
}
