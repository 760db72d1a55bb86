import { ask, Refusal } from "../api/http";
import type { Brief, Candle } from "../api/types";
import { connection } from "../live/market";

const POINTS = 60;
const FEW = 12; // a server so young that its minutes make no line: its shortest candles do
const MINUTE = { interval: "1m", micros: 60_000_000 };
const SHORT = { interval: "5s", micros: 5_000_000 };
const AT_ONCE = 2; // requests; there are six connections for everything

/** Closing prices, one a step of market time, the last one still moving. */
interface Spark {
  closes: number[];
  step: number; // microseconds
  bucket: number; // the number of the newest step
  redrawn: number; // ms, when it was last given out
}

/**
 * The recent way of each price. What was before the page opened is asked for when a row is first seen; while the server is
 * away, questions wait until it is back.
 */
export class Sparks {
  private readonly known = new Map<string, Spark>();
  private readonly asked = new Set<string>();
  private readonly queue: string[] = [];
  private running = 0;
  private readonly unsubscribe: () => void;

  /** `arrived` is told when what was before has come for a symbol. */
  constructor(private readonly arrived: (symbol: string) => void) {
    this.unsubscribe = connection.subscribe(() => this.start());
  }

  close(): void {
    this.unsubscribe();
    this.queue.length = 0;
  }

  /** Take a price in. */
  add({ symbol, last, ts }: Brief): void {
    if (last === null) return;
    const spark = this.known.get(symbol);
    if (spark) advance(spark, ts, last);
    else
      this.known.set(symbol, { closes: [last], step: SHORT.micros, bucket: Math.floor(ts / SHORT.micros), redrawn: 0 });
  }

  /** Ask for what was before, once. */
  want(symbol: string): void {
    if (this.asked.has(symbol)) return;
    this.asked.add(symbol);
    this.queue.push(symbol);
    this.start();
  }

  /** The line through the points in a box of 100 by 20, as SVG has it; "" where there is no line yet. */
  line(symbol: string): string {
    const closes = this.known.get(symbol)?.closes ?? [];
    if (closes.length < 2) return "";
    const low = Math.min(...closes);
    const scale = 18 / (Math.max(...closes) - low || 1);
    const step = 100 / (closes.length - 1);
    return closes.map((close, at) => `${(at * step).toFixed(1)},${(19 - (close - low) * scale).toFixed(1)}`).join(" ");
  }

  /** Whether a second has passed since this was last true for the symbol: a line that moves more often tells no more. */
  due(symbol: string, now: number): boolean {
    const spark = this.known.get(symbol);
    if (!spark || now - spark.redrawn < 1000) return false;
    spark.redrawn = now;
    return true;
  }

  private start(): void {
    for (let free = AT_ONCE - this.running; free > 0 && this.queue.length > 0; free--) void this.work();
  }

  /** Ask until nothing is left, or nobody answers. */
  private async work(): Promise<void> {
    this.running += 1;
    while (connection.value === "open") {
      const symbol = this.queue.shift();
      if (symbol === undefined || !(await this.try(symbol))) break;
    }
    this.running -= 1;
  }

  /** Whether there was an answer. What was refused is asked again the next time it is seen. */
  private async try(symbol: string): Promise<boolean> {
    try {
      await this.load(symbol);
    } catch (error) {
      if (!(error instanceof Refusal)) {
        this.queue.unshift(symbol);
        return false;
      }
      this.asked.delete(symbol);
    }
    this.arrived(symbol);
    return true;
  }

  private async load(symbol: string): Promise<void> {
    let size = MINUTE;
    let candles = await past(symbol, size.interval);
    if (candles.length < FEW) {
      size = SHORT;
      candles = await past(symbol, size.interval);
    }
    const newest = candles.at(-1);
    if (!newest) return;
    const live = this.known.get(symbol)?.closes.at(-1) ?? newest.close;
    const closes = [...candles.map((each) => each.close), live];
    this.known.set(symbol, { closes, step: size.micros, bucket: Math.floor(newest.start / size.micros), redrawn: 0 });
  }
}

function past(symbol: string, interval: string): Promise<Candle[]> {
  return ask(`v1/candles/${encodeURIComponent(symbol)}?interval=${interval}&limit=${POINTS}`);
}

function advance(spark: Spark, ts: number, last: number): void {
  const bucket = Math.floor(ts / spark.step);
  if (bucket <= spark.bucket) {
    spark.closes[spark.closes.length - 1] = last;
    return;
  }
  spark.bucket = bucket;
  spark.closes.push(last);
  if (spark.closes.length > POINTS) spark.closes.shift();
}
