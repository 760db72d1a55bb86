import { effect } from "@preact/signals";
import { frames, halted, instruments, moving, quotes } from "../live/market";
import { words } from "../words";
import { stars, toggle } from "./lists";
import type { Line } from "./order";
import type { Row } from "./Row";
import { Sight } from "./Sight";
import { Silence } from "./silence";
import { Sparks } from "./sparks";

const LOOK = 1000; // ms: how often silent symbols are looked for
const DIM = 100; // ms: how often lit cells are looked at

export interface Ways {
  open: (symbol: string) => void; // where Enter leads
  fold: (group: string) => void;
}

/** Where one is on the board, to come back to. */
export interface Stand {
  line: Line | undefined; // the active one
  top: number; // px
  focused: boolean;
}

/**
 * The lines of the board. Frames are painted straight into those in sight: a market that moves a thousand times a second
 * costs what is seen of it. `scroller` has the focus and says which line is active; `body` has the lines.
 */
export class Grid {
  private readonly sight: Sight;
  private readonly sparks = new Sparks((symbol) => this.drawSpark(symbol));
  private readonly silence = new Silence();
  private active = -1;
  private readonly ends: (() => void)[];

  constructor(
    private readonly scroller: HTMLElement,
    body: HTMLElement,
    private readonly ways: Ways,
  ) {
    this.sight = new Sight(scroller, body, { filled: (row) => this.filled(row), fold: ways.fold });
    this.ends = [
      () => this.sparks.close(),
      resizing(scroller, () => this.resized()),
      every(LOOK, () => this.look()),
      every(DIM, () => this.dim()),
      listening(scroller, "scroll", () => this.show()),
      listening(scroller, "keydown", (event) => this.onKey(event)),
      listening(body, "click", (event) => this.onClick(event)),
      listening(body, "dblclick", (event) => this.onDoubleClick(event)),
      frames.each((changed) => this.paint(changed)),
      effect(() => this.relabel()),
      effect(() => this.silence.begin(moving.value ? performance.now() : Infinity)),
    ];
  }

  close(): void {
    for (const end of this.ends) end();
  }

  /** Show these lines. The active one stays with its symbol. */
  set(lines: readonly Line[]): void {
    const was = this.sight.lines[this.active];
    this.active = was === undefined ? -1 : lines.findIndex((line) => same(line, was));
    this.sight.set(lines);
    this.mark();
  }

  get stand(): Stand {
    const focused = this.scroller.contains(document.activeElement);
    return { line: this.sight.lines[this.active], top: this.scroller.scrollTop, focused };
  }

  /** Be again where one was; with the focus, unless something else has it. */
  takeUp({ line, top, focused }: Stand): void {
    this.sight.measure();
    this.scroller.scrollTop = top;
    const place = line === undefined ? -1 : this.sight.lines.findIndex((each) => same(each, line));
    if (place >= 0) this.activate(place);
    if (focused && document.activeElement === document.body) this.scroller.focus();
  }

  focus(): void {
    this.scroller.focus();
    if (this.active < 0 && this.sight.lines.length > 0) this.activate(0);
  }

  private resized(): void {
    this.sight.measure();
    this.mark();
  }

  private show(): void {
    this.sight.show();
    this.mark();
  }

  private paint(changed: ReadonlySet<string>): void {
    const now = performance.now();
    for (const symbol of changed) {
      const quote = quotes.get(symbol);
      if (!quote) continue;
      this.sparks.add(quote);
      this.silence.heard(symbol, now);
      const row = this.sight.row(symbol);
      if (!row) continue;
      row.paint(quote, now);
      if (this.sparks.due(symbol, now)) this.drawSpark(symbol);
    }
  }

  private drawSpark(symbol: string): void {
    this.sight.row(symbol)?.draw(this.sparks.line(symbol));
  }

  private dim(): void {
    const now = performance.now();
    for (const flash of this.sight.lit) flash.dim(now);
  }

  private look(): void {
    const now = performance.now();
    for (const row of this.sight.rows()) this.quieten(row, now);
  }

  /** A row shows another symbol: all of it at once. */
  private filled(row: Row): void {
    const now = performance.now();
    const quote = quotes.get(row.symbol);
    if (quote) row.paint(quote, now);
    row.draw(this.sparks.line(row.symbol));
    this.sparks.want(row.symbol);
    this.label(row, now);
  }

  /** What does not come with quotes: the language, stars, names, halts. */
  private relabel(): void {
    void [words.value, stars.value, instruments.value, halted.value]; // also while there are no rows yet
    const now = performance.now();
    for (const row of this.sight.rows()) {
      this.label(row, now);
      row.repaint(now);
    }
  }

  private label(row: Row, now: number): void {
    const { board } = words.value;
    const on = stars.value.has(row.symbol);
    row.setName(instruments.value.get(row.symbol)?.name ?? "");
    row.setStar(on, on ? board.unstar(row.symbol) : board.star(row.symbol));
    this.quieten(row, now);
  }

  private quieten(row: Row, now: number): void {
    const silent = moving.value && this.silence.of(row.symbol, now);
    const why = halted.value.has(row.symbol) ? "halted" : silent ? "silent" : "";
    row.setStale(why, why && words.value.board.stale[why]);
  }

  private onClick({ target }: MouseEvent): void {
    const place = this.sight.placeOf(target);
    const line = this.sight.lines[place];
    if (!line) return;
    this.activate(place);
    if (line.kind === "symbol" && within(target, ".star")) toggle(line.symbol);
  }

  private onDoubleClick({ target }: MouseEvent): void {
    const line = this.sight.lines[this.sight.placeOf(target)];
    if (line?.kind === "symbol" && !within(target, "button")) this.ways.open(line.symbol);
  }

  private onKey(event: KeyboardEvent): void {
    if (event.target !== this.scroller || event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.walk(event.key) || this.act(event.key)) event.preventDefault();
  }

  private walk(key: string): boolean {
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.sight.height) - 2);
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
    this.activate(Math.min(this.sight.lines.length - 1, Math.max(0, this.active + step)));
    return true;
  }

  private act(key: string): boolean {
    const line = this.sight.lines[this.active];
    if (!line) return false;
    if (line.kind === "group" && (key === "Enter" || key === " ")) this.ways.fold(line.name);
    else if (line.kind === "symbol" && key === "Enter") this.ways.open(line.symbol);
    else if (line.kind === "symbol" && key === "s") toggle(line.symbol);
    else return false;
    return true;
  }

  private activate(place: number): void {
    this.active = place;
    this.sight.reveal(place);
    this.mark();
  }

  /** Tell eyes and screen readers which line is active. */
  private mark(): void {
    for (const [place, node] of this.sight.all()) {
      if (place === this.active) node.setAttribute("aria-selected", "true");
      else node.removeAttribute("aria-selected");
    }
    const active = this.sight.at(this.active)?.id;
    if (active) this.scroller.setAttribute("aria-activedescendant", active);
    else this.scroller.removeAttribute("aria-activedescendant");
  }
}

function same(one: Line, other: Line): boolean {
  if (one.kind === "symbol") return other.kind === "symbol" && one.symbol === other.symbol;
  return other.kind === "group" && one.name === other.name;
}

const within = (target: EventTarget | null, selector: string): boolean =>
  target instanceof Element && target.closest(selector) !== null;

// Each of these begins something and answers how to end it.

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
  take: (event: HTMLElementEventMap[K]) => void,
): () => void {
  node.addEventListener(name, take, { passive: name === "scroll" });
  return () => node.removeEventListener(name, take);
}
