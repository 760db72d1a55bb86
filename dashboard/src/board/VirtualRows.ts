import type { Flash } from "./cells";
import type { ColumnId } from "./columnIds";
import { GroupRow } from "./GroupRow";
import type { Line } from "./lines";
import { Row } from "./Row";

/** Lines rendered above and below the visible ones, so that scrolling does not uncover empty space. */
const OVERSCAN = 6;

interface RowCallbacks {
  onAssign: (row: Row) => void; // called when a row shows another symbol
  onFold: (group: string) => void;
}

/**
 * The elements of the visible lines. Their number depends on the screen, not on the number of lines: elements of lines
 * that scroll out are reused for lines that scroll in.
 */
export class VirtualRows {
  lines: readonly Line[] = [];
  /** The height of a line in px, read from the style sheet. */
  lineHeight = 0;
  /** The cells that are highlighted now. */
  readonly flashing = new Set<Flash>();
  /** The elements by line index. */
  private readonly rendered = new Map<number, Row | GroupRow>();
  private readonly rowsBySymbol = new Map<string, Row>();
  private readonly spareRows: Row[] = [];
  private readonly spareGroupRows: GroupRow[] = [];
  private columns: readonly ColumnId[] = [];
  private nextId = 0;

  constructor(
    private readonly scroller: HTMLElement,
    private readonly body: HTMLElement,
    private readonly callbacks: RowCallbacks,
  ) {}

  /** Return the row of a symbol, if it is rendered. */
  row(symbol: string): Row | undefined {
    return this.rowsBySymbol.get(symbol);
  }

  rows(): Iterable<Row> {
    return this.rowsBySymbol.values();
  }

  /** Return the element of the line at this index, if it is rendered. */
  elementAt(index: number): HTMLElement | undefined {
    return this.rendered.get(index)?.node;
  }

  /** Yield the index and the element of every rendered line. */
  *entries(): Iterable<[number, HTMLElement]> {
    for (const [index, { node }] of this.rendered) yield [index, node];
  }

  /** Return the index of the line that contains the target; -1 for none. */
  indexOf(target: EventTarget | null): number {
    const node = target instanceof Element ? target.closest("[role=row]") : null;
    for (const [index, entry] of this.entries()) if (entry === node) return index;
    return -1;
  }

  /** Show these columns in every row. */
  setColumns(ids: readonly ColumnId[]): void {
    this.columns = ids;
    this.scroller.setAttribute("aria-colcount", String(ids.length + 1));
    for (const entry of this.rendered.values()) if (entry instanceof Row) entry.setColumns(ids);
    for (const row of this.spareRows) row.setColumns(ids);
  }

  setLines(lines: readonly Line[]): void {
    this.lines = lines;
    this.scroller.setAttribute("aria-rowcount", String(lines.length + 1));
    this.layout();
  }

  /** Read the height of a line from the style sheet. */
  measure(): void {
    this.lineHeight = Number.parseFloat(getComputedStyle(this.scroller).getPropertyValue("--row"));
    this.layout();
  }

  /** Scroll as little as needed to show this line below the sticky column headers. */
  scrollTo(index: number): void {
    const top = index * this.lineHeight;
    const room = this.scroller.clientHeight - this.body.offsetTop;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + this.lineHeight > this.scroller.scrollTop + room)
      this.scroller.scrollTop = top + this.lineHeight - room;
    this.render();
  }

  /** Render the visible lines and recycle the elements of all others. */
  render(): void {
    if (!this.lineHeight) return;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / this.lineHeight) - OVERSCAN);
    const count = Math.ceil(this.scroller.clientHeight / this.lineHeight) + 2 * OVERSCAN;
    const end = Math.min(this.lines.length, first + count);
    this.release(first, end);
    for (let index = first; index < end; index++) this.renderLine(index, this.lines[index] as Line);
  }

  private layout(): void {
    this.body.style.height = `${this.lines.length * this.lineHeight}px`;
    this.render();
  }

  private release(first: number, end: number): void {
    for (const [index, entry] of this.rendered) {
      const line = this.lines[index];
      const fits = line && index >= first && index < end && (line.kind === "symbol") === entry instanceof Row;
      if (!fits) this.recycle(index, entry);
    }
  }

  private recycle(index: number, entry: Row | GroupRow): void {
    this.rendered.delete(index);
    entry.node.remove();
    if (entry instanceof Row) {
      this.forget(entry);
      this.spareRows.push(entry);
    } else this.spareGroupRows.push(entry);
  }

  private forget(row: Row): void {
    if (this.rowsBySymbol.get(row.symbol) === row) this.rowsBySymbol.delete(row.symbol);
  }

  private renderLine(index: number, line: Line): void {
    const entry = this.rendered.get(index) ?? this.acquire(line.kind);
    if (!this.rendered.has(index)) {
      this.rendered.set(index, entry);
      this.body.append(entry.node);
    }
    entry.node.style.transform = `translateY(${index * this.lineHeight}px)`;
    // Row 1 holds the column headers.
    entry.node.setAttribute("aria-rowindex", String(index + 2));
    if (line.kind === "group") (entry as GroupRow).assign(line, this.columns.length + 1);
    else this.assign(entry as Row, line.symbol);
  }

  private acquire(kind: Line["kind"]): Row | GroupRow {
    const id = `line-${this.nextId++}`;
    if (kind === "symbol") return this.spareRows.pop() ?? this.newRow(id);
    return this.spareGroupRows.pop() ?? new GroupRow(id, this.callbacks.onFold);
  }

  private newRow(id: string): Row {
    const row = new Row(id, this.flashing);
    row.setColumns(this.columns);
    return row;
  }

  private assign(row: Row, symbol: string): void {
    if (this.rowsBySymbol.get(symbol) === row) return;
    this.forget(row);
    this.rowsBySymbol.set(symbol, row);
    row.assign(symbol);
    this.callbacks.onAssign(row);
  }
}
