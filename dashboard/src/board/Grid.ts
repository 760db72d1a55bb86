import { effect } from "@preact/signals";
import { frames, halted, instruments, moving, quotes } from "../live/market";
import { words } from "../words";
import type { Flash } from "./cells";
import { Head } from "./Head";
import { stars, toggle } from "./lists";
import type { Line } from "./order";
import { Row } from "./Row";
import { Silence } from "./silence";
import { Sparks } from "./sparks";

const OVERSCAN = 6; // lines kept beyond what is seen, so that scrolling does not uncover nothing

const DIM = 100; // ms: how often lit cells are looked at

export interface Ways {
  open: (symbol: string) => void; // where Enter leads
  fold: (group: string) => void;
}

/**
 * The lines of the board, of which only those in sight exist. Frames are painted straight into them: a market that moves
 * a thousand times a second costs what is seen of it.
 *
 * `scroller` has the focus and says which line is active; `body` has the lines.
 */
export class Grid {
  private lines: readonly Line[] = [];
  private readonly rows = new Map<number, Row | Head>(); // by place, those in sight
  private readonly rowOf = new Map<string, Row>(); // by symbol, likewise
  private readonly spareRows: Row[] = [];
  private readonly spareHeads: Head[] = [];
  private readonly sparks = new Sparks((symbol) => this.drawSpark(symbol));
  private readonly silence = new Silence();
  private readonly lit = new Set<Flash>();
  private active = -1;
  private made = 0;
  private height = 0; // px of a line, as the style says
  private readonly ends: (() => void)[];

  constructor(
    private readonly scroller: HTMLElement,
    private readonly body: HTMLElement,
    private readonly ways: Ways,
  ) {
    const resized = new ResizeObserver(() => this.measure());
    resized.observe(scroller);
    const tick = window.setInterval(() => this.showSilence(), 1000);
    const dim = window.setInterval(() => this.dim(), DIM);
    scroller.addEventListener("scroll", this.show, { passive: true });
    scroller.addEventListener("keydown", this.onKey);
    body.addEventListener("click", this.onClick);
    body.addEventListener("dblclick", this.onDoubleClick);
    this.ends = [
      () => resized.disconnect(),
      () => window.clearInterval(tick),
      () => window.clearInterval(dim),
      frames.each((changed) => this.paint(changed)),
      effect(() => this.relabel()),
      effect(() => this.silence.begin(moving.value ? performance.now() : Infinity)),
    ];
  }

  close(): void {
    for (const end of this.ends) end();
    this.scroller.removeEventListener("scroll", this.show);
    this.scroller.removeEventListener("keydown", this.onKey);
  }

  /** Show these lines. The active one stays with its symbol. */
  set(lines: readonly Line[]): void {
    const was = this.lines[this.active];
    this.lines = lines;
    this.active = was === undefined ? -1 : lines.findIndex((line) => same(line, was));
    this.scroller.setAttribute("aria-rowcount", String(lines.length + 1));
    this.layout();
  }

  focus(): void {
    this.scroller.focus();
    if (this.active < 0 && this.lines.length > 0) this.activate(0);
  }

  private paint(changed: ReadonlySet<string>): void {
    const now = performance.now();
    for (const symbol of changed) {
      const quote = quotes.get(symbol);
      if (!quote) continue;
      this.sparks.add(quote);
      this.silence.heard(symbol, now);
      const row = this.rowOf.get(symbol);
      if (!row) continue;
      row.paint(quote, now);
      if (this.sparks.due(symbol, now)) this.drawSpark(symbol);
    }
  }

  private drawSpark(symbol: string): void {
    this.rowOf.get(symbol)?.draw(this.sparks.line(symbol));
  }

  private measure(): void {
    const height = Number.parseFloat(getComputedStyle(this.scroller).getPropertyValue("--row"));
    if (height !== this.height) {
      this.height = height;
      this.layout();
    } else this.show();
  }

  private layout(): void {
    this.body.style.height = `${this.lines.length * this.height}px`;
    this.show();
  }

  /** Give the lines in sight their elements, and take those of others. */
  private readonly show = (): void => {
    if (!this.height) return;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / this.height) - OVERSCAN);
    const seen = Math.ceil(this.scroller.clientHeight / this.height) + 2 * OVERSCAN;
    const end = Math.min(this.lines.length, first + seen);
    this.release(first, end);
    for (let at = first; at < end; at++) this.place(at, this.lines[at] as Line);
    this.mark();
  };

  private release(first: number, end: number): void {
    for (const [at, shown] of this.rows) {
      const line = this.lines[at];
      const fits = line && at >= first && at < end && (line.kind === "symbol") === shown instanceof Row;
      if (fits) continue;
      this.rows.delete(at);
      shown.node.remove();
      if (shown instanceof Row) {
        if (this.rowOf.get(shown.symbol) === shown) this.rowOf.delete(shown.symbol);
        this.spareRows.push(shown);
      } else this.spareHeads.push(shown);
    }
  }

  private place(at: number, line: Line): void {
    const shown = this.rows.get(at) ?? this.take(line.kind);
    if (!this.rows.has(at)) {
      this.rows.set(at, shown);
      this.body.append(shown.node);
    }
    shown.node.style.transform = `translateY(${at * this.height}px)`;
    shown.node.setAttribute("aria-rowindex", String(at + 2)); // the first is the row of the column heads
    if (line.kind === "group") (shown as Head).assign(line);
    else this.fill(shown as Row, line.symbol);
  }

  private take(kind: Line["kind"]): Row | Head {
    const id = `line-${this.made++}`;
    if (kind === "symbol") return this.spareRows.pop() ?? new Row(id, this.lit);
    return this.spareHeads.pop() ?? new Head(id, this.ways.fold);
  }

  private fill(row: Row, symbol: string): void {
    const another = row.symbol !== symbol;
    if (another && this.rowOf.get(row.symbol) === row) this.rowOf.delete(row.symbol);
    this.rowOf.set(symbol, row);
    row.assign(symbol, instruments.value.get(symbol));
    if (!another) return;
    this.star(row);
    const quote = quotes.get(symbol);
    if (quote) row.paint(quote, performance.now());
    row.draw(this.sparks.line(symbol));
    this.sparks.want(symbol);
    this.quieten(row, performance.now());
  }

  private star(row: Row): void {
    const on = stars.value.has(row.symbol);
    row.setStar(on, on ? words.value.board.unstar(row.symbol) : words.value.board.star(row.symbol));
  }

  /** What does not come with quotes: the language, stars, names, halts. */
  private relabel(): void {
    const now = performance.now();
    for (const row of this.rowOf.values()) {
      this.star(row);
      row.assign(row.symbol, instruments.value.get(row.symbol));
      row.repaint(now);
      this.quieten(row, now);
    }
    void [words.value, stars.value, instruments.value, halted.value]; // also while there are no rows yet
  }

  private dim(): void {
    const now = performance.now();
    for (const flash of this.lit) flash.dim(now);
  }

  private showSilence(): void {
    const now = performance.now();
    for (const row of this.rowOf.values()) this.quieten(row, now);
  }

  private quieten(row: Row, now: number): void {
    const silent = moving.value && this.silence.of(row.symbol, now);
    const why = halted.value.has(row.symbol) ? "halted" : silent ? "silent" : "";
    if (why === (row.node.dataset.stale ?? "")) return;
    if (why) row.node.dataset.stale = why;
    else delete row.node.dataset.stale;
    row.node.title = why && words.value.board.stale[why];
  }

  private readonly onClick = (event: MouseEvent): void => {
    const at = this.placeOf(event.target);
    const line = this.lines[at];
    if (!line) return;
    this.activate(at);
    const star = event.target instanceof Element && event.target.closest(".star");
    if (star && line.kind === "symbol") toggle(line.symbol);
  };

  private readonly onDoubleClick = (event: MouseEvent): void => {
    const line = this.lines[this.placeOf(event.target)];
    const button = event.target instanceof Element && event.target.closest("button");
    if (line?.kind === "symbol" && !button) this.ways.open(line.symbol);
  };

  private placeOf(target: EventTarget | null): number {
    const node = target instanceof Element ? target.closest("[role=row]") : null;
    for (const [at, shown] of this.rows) if (shown.node === node) return at;
    return -1;
  }

  private readonly onKey = (event: KeyboardEvent): void => {
    if (event.target !== this.scroller || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.height) - 2);
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    };
    const step = steps[event.key];
    if (step !== undefined) this.activate(Math.min(this.lines.length - 1, Math.max(0, this.active + step)));
    else if (!this.act(event.key)) return;
    event.preventDefault();
  };

  private act(key: string): boolean {
    const line = this.lines[this.active];
    if (!line) return false;
    if (line.kind === "group" && (key === "Enter" || key === " ")) this.ways.fold(line.name);
    else if (line.kind === "symbol" && key === "Enter") this.ways.open(line.symbol);
    else if (line.kind === "symbol" && key === "s") toggle(line.symbol);
    else return false;
    return true;
  }

  private activate(at: number): void {
    this.active = at;
    const top = at * this.height;
    const room = this.scroller.clientHeight - this.body.offsetTop; // below the heads, which stay in sight
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + this.height > this.scroller.scrollTop + room) this.scroller.scrollTop = top + this.height - room;
    this.show();
  }

  private mark(): void {
    for (const [at, { node }] of this.rows) {
      if (at === this.active) node.setAttribute("aria-selected", "true");
      else node.removeAttribute("aria-selected");
    }
    const active = this.rows.get(this.active)?.node.id;
    if (active) this.scroller.setAttribute("aria-activedescendant", active);
    else this.scroller.removeAttribute("aria-activedescendant");
  }
}

function same(one: Line, other: Line): boolean {
  if (one.kind === "symbol") return other.kind === "symbol" && one.symbol === other.symbol;
  return other.kind === "group" && one.name === other.name;
}
