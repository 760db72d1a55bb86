import type { Flash } from "./cells";
import { Head } from "./Head";
import type { Line } from "./order";
import { Row } from "./Row";

const OVERSCAN = 6; // lines kept beyond what is seen, so that scrolling does not uncover nothing

interface Telling {
  filled: (row: Row) => void; // another symbol is shown in this row
  fold: (group: string) => void;
}

/**
 * The elements of the lines in sight. There are as many as fit on the screen, however many lines there are; those of lines
 * that leave are used again for lines that come.
 */
export class Sight {
  lines: readonly Line[] = [];
  /** px of a line, as the style says. */
  height = 0;
  /** Cells that are lit up now. */
  readonly lit = new Set<Flash>();
  private readonly shown = new Map<number, Row | Head>(); // by place among the lines
  private readonly rowOf = new Map<string, Row>(); // by symbol
  private readonly spareRows: Row[] = [];
  private readonly spareHeads: Head[] = [];
  private made = 0;

  constructor(
    private readonly scroller: HTMLElement,
    private readonly body: HTMLElement,
    private readonly telling: Telling,
  ) {}

  /** The row of a symbol, if it is in sight. */
  row(symbol: string): Row | undefined {
    return this.rowOf.get(symbol);
  }

  rows(): Iterable<Row> {
    return this.rowOf.values();
  }

  /** The element of the line at this place, if it is in sight. */
  at(place: number): HTMLElement | undefined {
    return this.shown.get(place)?.node;
  }

  /** The places and elements of all lines in sight. */
  *all(): Iterable<[number, HTMLElement]> {
    for (const [place, { node }] of this.shown) yield [place, node];
  }

  /** The place of the line in which this is; -1 for none. */
  placeOf(target: EventTarget | null): number {
    const node = target instanceof Element ? target.closest("[role=row]") : null;
    for (const [place, shown] of this.all()) if (shown === node) return place;
    return -1;
  }

  set(lines: readonly Line[]): void {
    this.lines = lines;
    this.scroller.setAttribute("aria-rowcount", String(lines.length + 1));
    this.layout();
  }

  /** Look how high the style has lines now. */
  measure(): void {
    this.height = Number.parseFloat(getComputedStyle(this.scroller).getPropertyValue("--row"));
    this.layout();
  }

  /** Scroll no further than needed for this place to be seen, below the heads, which stay where they are. */
  reveal(place: number): void {
    const top = place * this.height;
    const room = this.scroller.clientHeight - this.body.offsetTop;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + this.height > this.scroller.scrollTop + room) this.scroller.scrollTop = top + this.height - room;
    this.show();
  }

  /** Give the lines in sight their elements, and take those of others. */
  show(): void {
    if (!this.height) return;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / this.height) - OVERSCAN);
    const seen = Math.ceil(this.scroller.clientHeight / this.height) + 2 * OVERSCAN;
    const end = Math.min(this.lines.length, first + seen);
    this.release(first, end);
    for (let place = first; place < end; place++) this.place(place, this.lines[place] as Line);
  }

  private layout(): void {
    this.body.style.height = `${this.lines.length * this.height}px`;
    this.show();
  }

  private release(first: number, end: number): void {
    for (const [place, shown] of this.shown) {
      const line = this.lines[place];
      const fits = line && place >= first && place < end && (line.kind === "symbol") === shown instanceof Row;
      if (!fits) this.spare(place, shown);
    }
  }

  private spare(place: number, shown: Row | Head): void {
    this.shown.delete(place);
    shown.node.remove();
    if (shown instanceof Row) {
      this.forget(shown);
      this.spareRows.push(shown);
    } else this.spareHeads.push(shown);
  }

  private forget(row: Row): void {
    if (this.rowOf.get(row.symbol) === row) this.rowOf.delete(row.symbol);
  }

  private place(place: number, line: Line): void {
    const shown = this.shown.get(place) ?? this.take(line.kind);
    if (!this.shown.has(place)) {
      this.shown.set(place, shown);
      this.body.append(shown.node);
    }
    shown.node.style.transform = `translateY(${place * this.height}px)`;
    shown.node.setAttribute("aria-rowindex", String(place + 2)); // the first is the row of the column heads
    if (line.kind === "group") (shown as Head).assign(line);
    else this.fill(shown as Row, line.symbol);
  }

  private take(kind: Line["kind"]): Row | Head {
    const id = `line-${this.made++}`;
    if (kind === "symbol") return this.spareRows.pop() ?? new Row(id, this.lit);
    return this.spareHeads.pop() ?? new Head(id, this.telling.fold);
  }

  private fill(row: Row, symbol: string): void {
    if (this.rowOf.get(symbol) === row) return;
    this.forget(row);
    this.rowOf.set(symbol, row);
    row.assign(symbol);
    this.telling.filled(row);
  }
}
