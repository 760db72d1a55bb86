import { effect } from "@preact/signals";
import { haltedSymbols, instruments, paintQueue, pricesFlowing, quotes } from "../live/marketData";
import { instrumentName, words } from "../words";
import { compactRows, shownColumns } from "./columnChoice";
import type { Line } from "./lines";
import type { Row } from "./Row";
import { SilenceDetector } from "./silenceDetector";
import { Sparklines } from "./sparklines";
import { VirtualRows } from "./VirtualRows";
import { starredSymbols, toggleStar } from "./watchlists";

const SILENCE_CHECK_MS = 1000;
const DIM_INTERVAL_MS = 100;

/** A touch screen has no double click and no Enter key. */
const opensOnTap = matchMedia("(hover: none), (max-width: 640px)");

export interface GridActions {
  open: (symbol: string) => void; // show the symbol's chart
  fold: (group: string) => void;
}

/** The position on the board, restored when the user comes back from another view. */
export interface GridPosition {
  line: Line | undefined; // the active line
  top: number; // px scrolled
  focused: boolean;
}

/**
 * The lines of the board.
 *
 * Quotes are painted straight into the rendered rows, so that a busy market costs no more than the visible part of it.
 * `scroller` has the focus and the ARIA state of the active line; `body` contains the lines.
 */
export class Grid {
  private readonly rows: VirtualRows;
  private readonly sparklines = new Sparklines((symbol) => this.drawSparkline(symbol));
  private readonly silence = new SilenceDetector();
  private activeIndex = -1;
  private readonly cleanups: (() => void)[];

  constructor(
    private readonly scroller: HTMLElement,
    body: HTMLElement,
    private readonly actions: GridActions,
  ) {
    this.rows = new VirtualRows(scroller, body, { onAssign: (row) => this.paintAll(row), onFold: actions.fold });
    this.cleanups = [
      () => this.sparklines.close(),
      resizing(scroller, () => this.onResize()),
      every(SILENCE_CHECK_MS, () => this.checkSilence()),
      every(DIM_INTERVAL_MS, () => this.dimFlashes()),
      listening(scroller, "scroll", () => this.onScroll()),
      listening(scroller, "keydown", (event) => this.onKey(event)),
      listening(body, "click", (event) => this.onClick(event)),
      listening(body, "mouseover", showCutText),
      listening(body, "dblclick", (event) => this.onDoubleClick(event)),
      paintQueue.subscribe((changed) => this.paint(changed)),
      effect(() => this.showColumns()),
      effect(() => this.updateAllLabels()),
      effect(() => this.silence.restart(pricesFlowing.value ? performance.now() : Infinity)),
    ];
  }

  close(): void {
    for (const cleanup of this.cleanups) cleanup();
  }

  /** Show these lines. The active line follows its symbol. */
  setLines(lines: readonly Line[]): void {
    const active = this.rows.lines[this.activeIndex];
    this.activeIndex = active === undefined ? -1 : lines.findIndex((line) => sameLine(line, active));
    this.rows.setLines(lines);
    this.updateAria();
  }

  get position(): GridPosition {
    const focused = this.scroller.contains(document.activeElement);
    return { line: this.rows.lines[this.activeIndex], top: this.scroller.scrollTop, focused };
  }

  /** Scroll to a position and activate its line. The grid regains the focus only if no other element has it. */
  restore({ line, top, focused }: GridPosition): void {
    this.rows.measure();
    this.scroller.scrollTop = top;
    const index = line === undefined ? -1 : this.rows.lines.findIndex((each) => sameLine(each, line));
    if (index >= 0) this.activate(index);
    if (focused && document.activeElement === document.body) this.scroller.focus();
  }

  focus(): void {
    this.scroller.focus();
    if (this.activeIndex < 0 && this.rows.lines.length > 0) this.activate(0);
  }

  private showColumns(): void {
    void compactRows.value;
    this.rows.setColumns(shownColumns.value.map(({ id }) => id));
    const now = performance.now();
    for (const row of this.rows.rows()) row.repaint(now);
    // The style sheet has the height of the rows once the view is rendered.
    requestAnimationFrame(() => this.onResize());
  }

  private onResize(): void {
    this.rows.measure();
    this.updateAria();
  }

  private onScroll(): void {
    this.rows.render();
    this.updateAria();
  }

  private paint(changed: ReadonlySet<string>): void {
    const now = performance.now();
    for (const symbol of changed) {
      const quote = quotes.get(symbol);
      if (!quote) continue;
      this.sparklines.addPrice(quote);
      this.silence.record(symbol, now);
      const row = this.rows.row(symbol);
      if (!row) continue;
      row.paint(quote, now);
      if (this.sparklines.isDue(symbol, now)) this.drawSparkline(symbol);
    }
  }

  private drawSparkline(symbol: string): void {
    this.rows.row(symbol)?.drawSparkline(this.sparklines.points(symbol));
  }

  private dimFlashes(): void {
    const now = performance.now();
    for (const flash of this.rows.flashing) flash.dim(now);
  }

  private checkSilence(): void {
    const now = performance.now();
    for (const row of this.rows.rows()) this.updateStale(row, now);
  }

  /** Fill in all cells of a row that now shows another symbol. */
  private paintAll(row: Row): void {
    const now = performance.now();
    const quote = quotes.get(row.symbol);
    if (quote) row.paint(quote, now);
    row.drawSparkline(this.sparklines.points(row.symbol));
    this.sparklines.requestHistory(row.symbol);
    this.updateLabels(row, now);
  }

  /** Update the parts of the rows that do not come from quotes: the language, stars, names and halts. */
  private updateAllLabels(): void {
    // The effect must subscribe to these signals even while there are no rows.
    void [words.value, starredSymbols.value, instruments.value, haltedSymbols.value];
    const now = performance.now();
    for (const row of this.rows.rows()) {
      this.updateLabels(row, now);
      row.repaint(now);
    }
  }

  private updateLabels(row: Row, now: number): void {
    const { board } = words.value;
    const on = starredSymbols.value.has(row.symbol);
    row.setName(instrumentName(instruments.value.get(row.symbol)));
    row.setStar(on, on ? board.unstar(row.symbol) : board.star(row.symbol));
    this.updateStale(row, now);
  }

  private updateStale(row: Row, now: number): void {
    const silent = pricesFlowing.value && this.silence.isSilent(row.symbol, now);
    const why = haltedSymbols.value.has(row.symbol) ? "halted" : silent ? "silent" : "";
    const { stale, halted } = words.value.board;
    row.setStale(why, why && stale[why], why === "halted" ? halted : "");
  }

  private onClick({ target }: MouseEvent): void {
    const index = this.rows.indexOf(target);
    const line = this.rows.lines[index];
    if (!line) return;
    this.activate(index);
    if (line.kind !== "symbol") return;
    if (within(target, ".star")) toggleStar(line.symbol);
    else if (opensOnTap.matches && !within(target, "a")) this.actions.open(line.symbol);
  }

  private onDoubleClick({ target }: MouseEvent): void {
    const line = this.rows.lines[this.rows.indexOf(target)];
    if (line?.kind === "symbol" && !within(target, "button")) this.actions.open(line.symbol);
  }

  private onKey(event: KeyboardEvent): void {
    if (event.target !== this.scroller || event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.moveActive(event.key) || this.runAction(event.key)) event.preventDefault();
  }

  private moveActive(key: string): boolean {
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.rows.lineHeight) - 2);
    const steps = new Map([
      ["ArrowDown", 1],
      ["ArrowUp", -1],
      ["PageDown", page],
      ["PageUp", -page],
      ["Home", -Infinity],
      ["End", Infinity],
    ]);
    const step = steps.get(key);
    if (step === undefined) return false;
    this.activate(Math.min(this.rows.lines.length - 1, Math.max(0, this.activeIndex + step)));
    return true;
  }

  private runAction(key: string): boolean {
    const line = this.rows.lines[this.activeIndex];
    if (!line) return false;
    if (line.kind === "group" && (key === "Enter" || key === " ")) this.actions.fold(line.name);
    else if (line.kind === "symbol" && key === "Enter") this.actions.open(line.symbol);
    else if (line.kind === "symbol" && key === "s") toggleStar(line.symbol);
    else return false;
    return true;
  }

  private activate(index: number): void {
    this.activeIndex = index;
    this.rows.scrollTo(index);
    this.updateAria();
  }

  /** Mark the active line for the style sheet and for screen readers. */
  private updateAria(): void {
    for (const [index, node] of this.rows.entries()) {
      if (index === this.activeIndex) node.setAttribute("aria-selected", "true");
      else node.removeAttribute("aria-selected");
    }
    const active = this.rows.elementAt(this.activeIndex)?.id;
    if (active) this.scroller.setAttribute("aria-activedescendant", active);
    else this.scroller.removeAttribute("aria-activedescendant");
  }
}

function sameLine(one: Line, other: Line): boolean {
  if (one.kind === "symbol") return other.kind === "symbol" && one.symbol === other.symbol;
  return other.kind === "group" && one.name === other.name;
}

/** Give the cell under the pointer a tooltip with its text, if the column is too narrow for it. */
function showCutText({ target }: MouseEvent): void {
  const cell = target instanceof Element ? target.closest<HTMLElement>(".cell") : null;
  if (!cell) return;
  if (cell.scrollWidth > cell.clientWidth) cell.title = cell.textContent ?? "";
  else cell.removeAttribute("title");
}

const within = (target: EventTarget | null, selector: string): boolean =>
  target instanceof Element && target.closest(selector) !== null;

// Each of these functions starts something and returns the function that ends it.

function every(ms: number, run: () => void): () => void {
  const timer = window.setInterval(run, ms);
  return () => window.clearInterval(timer);
}

function resizing(node: HTMLElement, run: () => void): () => void {
  const observer = new ResizeObserver(run);
  observer.observe(node);
  return () => observer.disconnect();
}

function listening<K extends keyof HTMLElementEventMap>(
  node: HTMLElement,
  name: K,
  handle: (event: HTMLElementEventMap[K]) => void,
): () => void {
  node.addEventListener(name, handle, { passive: name === "scroll" });
  return () => node.removeEventListener(name, handle);
}
