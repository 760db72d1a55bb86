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

const FLASH_EVERY = 250; // ms: a price that changes more often would only glow

/** Lights a cell up when its value rises or falls. Two names by turns, since one animation cannot begin twice. */
export class Flash {
  private readonly tone: Tone;
  private odd = false;
  private last = 0;

  constructor(node: HTMLElement, fixed: string) {
    this.tone = new Tone(node, fixed);
  }

  light(way: "up" | "down", now: number): void {
    if (now - this.last < FLASH_EVERY) return;
    this.last = now;
    this.odd = !this.odd;
    this.tone.set(`flash-${way}-${this.odd ? "a" : "b"}`);
  }

  off(): void {
    this.tone.set("");
  }
}
