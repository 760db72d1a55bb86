import { signal } from "@preact/signals";
import { initialPace, nextPace, PACES } from "./pace";

const READING_INTERVAL_MS = 1_000;

interface PacedStream {
  /** Whether quotes arrive. Without quotes, the readings have no meaning. */
  flows: () => boolean;
  /** The delay of prices on their way to the page, in ms. */
  delay: () => number;
  slowFrames: () => number;
  setInterval: (ms: number) => void;
}

/**
 * Asks for a longer interval between updates while the page shows prices late, and for a shorter one afterwards.
 *
 * Call `restart` with every new stream, which begins without an interval.
 */
export class Pacer {
  /** The shortest time between two updates of a symbol that the page asks for, in ms. */
  readonly interval = signal<number>(PACES[0]);
  private state = initialPace;

  constructor(private readonly stream: PacedStream) {
    window.setInterval(() => this.read(), READING_INTERVAL_MS);
    // Frames of a hidden page are not shown, so slow frames are then no sign of strain.
    document.addEventListener("visibilitychange", () => this.stream.slowFrames());
  }

  restart(): void {
    this.state = initialPace;
    this.interval.value = PACES[0];
  }

  private read(): void {
    const slowFrames = this.stream.slowFrames();
    if (document.hidden || !this.stream.flows()) return;
    const interval = this.interval.peek();
    this.state = nextPace(this.state, { slowFrames, delay: this.stream.delay() - interval });
    this.interval.value = PACES[this.state.level] ?? interval;
    if (this.interval.peek() !== interval) this.stream.setInterval(this.interval.peek());
  }
}
