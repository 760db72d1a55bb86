// DOM elements of the board's rows, and writers that touch the DOM only when a value changes.

/** The CSS class of a row by its change. */
export type Trend = "rising" | "falling" | "";

export const trendOf = (change: number | null): Trend => (!change ? "" : change > 0 ? "rising" : "falling");

export function cell(name: string, ...children: Node[]): HTMLElement {
  const node = element("div", `cell ${name}`);
  node.setAttribute("role", "gridcell");
  node.append(...children);
  return node;
}

export function element(name: string, className: string): HTMLElement {
  const node = document.createElement(name);
  node.className = className;
  return node;
}

/** Writes the text of an element. An unchanged text costs a comparison, not a layout. */
export class TextWriter {
  private text = "";

  constructor(readonly node: HTMLElement) {}

  set(text: string): void {
    if (text === this.text) return;
    this.text = text;
    this.node.textContent = text;
  }
}

/** Writes the class of an element: a fixed base and a changing suffix. */
export class ClassWriter {
  private suffix = "";

  constructor(
    private readonly node: HTMLElement,
    private readonly baseClass: string,
  ) {}

  set(suffix: string): void {
    if (suffix === this.suffix) return;
    this.suffix = suffix;
    this.node.className = suffix ? `${this.baseClass} ${suffix}` : this.baseClass;
  }
}

const DIM_AFTER_MS = 120;
const OFF_AFTER_MS = 350;
/** Without a pause, the highlight of a price that changes all the time would never end. */
const MIN_INTERVAL_MS = 500;

/** Highlights a cell when its value rises or falls, in two steps of brightness. Highlighted cells are in `flashing`. */
export class Flash {
  private readonly classes: ClassWriter;
  private startedAt = -MIN_INTERVAL_MS;
  private direction = "";

  constructor(
    node: HTMLElement,
    baseClass: string,
    private readonly flashing: Set<Flash>,
  ) {
    this.classes = new ClassWriter(node, baseClass);
  }

  start(direction: "up" | "down", now: number): void {
    if (now - this.startedAt < MIN_INTERVAL_MS) return;
    this.direction = `flash-${direction}`;
    this.startedAt = now;
    this.classes.set(this.direction);
    this.flashing.add(this);
  }

  /**
   * Dim or end the highlight, depending on the time since its start. A CSS animation would compute the styles of the
   * cell in about forty frames. This method changes them only twice.
   */
  dim(now: number): void {
    if (now - this.startedAt > OFF_AFTER_MS) this.stop();
    else if (now - this.startedAt > DIM_AFTER_MS) this.classes.set(`${this.direction} dim`);
  }

  stop(): void {
    this.classes.set("");
    this.flashing.delete(this);
  }
}
