// Small things of the DOM that the board's rows are made of. They are written to directly, many times a second.

/** How a row looks by its change. */
export type Trend = "rising" | "falling" | "";

export const trendOf = (change: number | null): Trend => (!change ? "" : change > 0 ? "rising" : "falling");

export function cell(name: string, ...children: Node[]): HTMLElement {
  const made = document.createElement("div");
  made.setAttribute("role", "gridcell");
  made.className = `cell ${name}`;
  made.append(...children);
  return made;
}

export function element(name: string, className: string): HTMLElement {
  const made = document.createElement(name);
  made.className = className;
  return made;
}

/** Writes only what changed: a text that is the same costs a comparison, not a layout. */
export class Text {
  private text = "";

  constructor(readonly node: HTMLElement) {}

  set(text: string): void {
    if (text === this.text) return;
    this.text = text;
    this.node.textContent = text;
  }
}

/** The same for a class name that comes and goes beside the fixed ones. */
export class Tone {
  private tone = "";

  constructor(
    private readonly node: HTMLElement,
    private readonly fixed: string,
  ) {}

  set(tone: string): void {
    if (tone === this.tone) return;
    this.tone = tone;
    this.node.className = tone ? `${this.fixed} ${tone}` : this.fixed;
  }
}

const BRIGHT = 120; // ms
const GONE = 350;
const APART = 500; // a price that changes all the time would only glow

/** Lights a cell up when its value rises or falls, in two steps of brightness. Those that are lit are in `lit`. */
export class Flash {
  private readonly tone: Tone;
  private begun = -APART;
  private way = "";

  constructor(
    node: HTMLElement,
    fixed: string,
    private readonly lit: Set<Flash>,
  ) {
    this.tone = new Tone(node, fixed);
  }

  light(way: "up" | "down", now: number): void {
    if (now - this.begun < APART) return;
    this.way = `flash-${way}`;
    this.begun = now;
    this.tone.set(this.way);
    this.lit.add(this);
  }

  /** Grow dim. An animation would cost a style in each of forty frames; this costs two. */
  dim(now: number): void {
    if (now - this.begun > GONE) this.off();
    else if (now - this.begun > BRIGHT) this.tone.set(`${this.way} dim`);
  }

  off(): void {
    this.tone.set("");
    this.lit.delete(this);
  }
}
