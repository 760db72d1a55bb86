type Paint = (changed: ReadonlySet<string>) => void;

/** A frame that ends later than this after the first change that it shows is slow. At 60 Hz, a frame takes 17 ms. */
const SLOW_FRAME_MS = 50;

/** Collects the symbols whose quotes change and paints them once per animation frame. */
export class PaintQueue {
  private dirty = new Set<string>();
  private spare = new Set<string>();
  private scheduledAt: number | null = null;
  private readonly painters = new Set<Paint>();
  private frames = { all: 0, slow: 0 };

  /** Call `paint` in every animation frame with changes. Return a function that stops these calls. */
  subscribe(paint: Paint): () => void {
    this.painters.add(paint);
    return () => this.painters.delete(paint);
  }

  mark(symbol: string): void {
    this.dirty.add(symbol);
    if (this.scheduledAt !== null) return;
    this.scheduledAt = performance.now();
    requestAnimationFrame(this.flush);
  }

  /** Return the part of the frames since the last call that were slow, from 0 to 1. */
  readSlowFrames(): number {
    const { all, slow } = this.frames;
    this.frames = { all: 0, slow: 0 };
    return all === 0 ? 0 : slow / all;
  }

  private readonly flush = (): void => {
    const scheduledAt = this.scheduledAt ?? 0;
    this.scheduledAt = null;
    const changed = this.dirty;
    // Two sets alternate, so that no frame allocates one.
    this.dirty = this.spare;
    for (const paint of this.painters) paint(changed);
    changed.clear();
    this.spare = changed;
    this.frames.all += 1;
    if (performance.now() - scheduledAt > SLOW_FRAME_MS) this.frames.slow += 1;
  };
}
