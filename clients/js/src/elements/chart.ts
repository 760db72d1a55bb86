import type { ClientOptions, TickwireClient } from "../client.ts";
import type { Candle } from "../events.ts";
import { LiveElement } from "./liveElement.ts";

const STYLES = `
  :host { display: block; position: relative; height: 12em; }
  :host::after { position: absolute; top: 0; left: 0; }
  svg { width: 100%; height: 100%; overflow: visible; }
  .up { stroke: var(--tickwire-up, #14804a); fill: var(--tickwire-up, #14804a); }
  .down { stroke: var(--tickwire-down, #c0262d); fill: var(--tickwire-down, #c0262d); }
  line { vector-effect: non-scaling-stroke; }
`;
/** The number of candles in the chart. */
const MAX_CANDLES = 120;
/** With fewer candles, the left side of the chart stays empty. */
const MIN_SLOTS = 40;
const SVG = "http://www.w3.org/2000/svg";
/** The chart is drawn on a square of this size, and the browser scales it to the element. */
const SIZE = 1_000;

/** `<tickwire-chart symbol="AAPL" interval="1m" server="https://...">`: the newest candles of a symbol. */
export class ChartElement extends LiveElement {
  static readonly observedAttributes = ["symbol", "interval", "server", "token"];
  private candles = new Map<number, Candle>();
  /** The number of resets. An answer that was requested before a reset is ignored. */
  private generation = 0;
  private readonly picture = document.createElementNS(SVG, "svg");
  private frame = 0;

  constructor() {
    super(STYLES);
    this.picture.setAttribute("viewBox", `0 0 ${SIZE} ${SIZE}`);
    this.picture.setAttribute("preserveAspectRatio", "none");
    this.picture.setAttribute("role", "img");
    this.root.append(this.picture);
  }

  protected reset(): ClientOptions | null {
    this.generation += 1;
    this.candles = new Map();
    this.draw();
    const symbol = this.getAttribute("symbol");
    return symbol ? { symbols: [symbol], events: ["candle"], candles: this.interval } : null;
  }

  protected listen(client: TickwireClient): void {
    const symbol = this.getAttribute("symbol") ?? "";
    // After each connect, load the candles that the chart missed while it was disconnected.
    client.on("welcome", () => {
      // The stream continues without the older candles. The next connection loads them again.
      this.load(symbol).catch(() => undefined);
    });
    client.on("candle", (candle) => this.add([candle]));
  }

  private get interval(): NonNullable<ClientOptions["candles"]> {
    return (this.getAttribute("interval") ?? "1m") as NonNullable<ClientOptions["candles"]>;
  }

  private async load(symbol: string): Promise<void> {
    const { generation, interval } = this;
    const token = this.getAttribute("token");
    const url = `${this.server}v1/candles/${encodeURIComponent(symbol)}?interval=${interval}&limit=${MAX_CANDLES}`;
    const response = await fetch(url, token === null ? {} : { headers: { Authorization: `Bearer ${token}` } });
    // A symbol without a trade has no candles yet. The stream will send its first candle.
    if (!response.ok) return;
    const loaded = (await response.json()) as Candle[];
    // The stream may have sent newer states of some candles in the meantime.
    if (generation !== this.generation) return;
    const isOlder = ({ start, closed }: Candle): boolean => {
      const known = this.candles.get(start);
      return known !== undefined && (known.closed || !closed);
    };
    this.add(loaded.filter((candle) => !isOlder(candle)));
  }

  private add(candles: readonly Candle[]): void {
    for (const candle of candles) this.candles.set(candle.start, candle);
    const newest = [...this.candles].sort(([first], [second]) => first - second).slice(-MAX_CANDLES);
    this.candles = new Map(newest);
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    const candles = [...this.candles.values()];
    const low = Math.min(...candles.map((each) => each.low));
    const range = Math.max(...candles.map((each) => each.high)) - low || 1;
    const y = (price: number): number => SIZE - ((price - low) / range) * SIZE;
    const slots = Math.max(MIN_SLOTS, candles.length);
    const step = SIZE / slots;
    const marks = candles.map(({ open, high, low, close }, index) => {
      const x = (slots - candles.length + index + 0.5) * step;
      const wick = shape("line", { x1: x, x2: x, y1: y(high), y2: y(low) });
      const top = y(Math.max(open, close));
      const body = {
        x: x - step * 0.35,
        width: step * 0.7,
        y: top,
        height: Math.max(1, y(Math.min(open, close)) - top),
      };
      const group = document.createElementNS(SVG, "g");
      group.setAttribute("class", close >= open ? "up" : "down");
      group.append(wick, shape("rect", body));
      return group;
    });
    this.picture.replaceChildren(...marks);
    this.picture.setAttribute("aria-label", `${this.getAttribute("symbol")}: ${candles.at(-1)?.close ?? "–"}`);
  }
}

function shape(name: "line" | "rect", attributes: Record<string, number>): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value.toFixed(1));
  return element;
}
