type Paint = (changed: ReadonlySet<string>) => void;

/** Collects the symbols whose quotes change and paints them once per animation frame. */
export class PaintQueue {
  private dirty = new Set<string>();
  private spare = new Set<string>();
  private scheduled = false;
  private readonly painters = new Set<Paint>();

  /** Call `paint` in every animation frame with changes. Returns the function that ends this. */
  subscribe(paint: Paint): () => void {
    this.painters.add(paint);
    return () => this.painters.delete(paint);
  }

  mark(symbol: string): void {
    this.dirty.add(symbol);
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(this.flush);
  }

  private readonly flush = (): void => {
    this.scheduled = false;
    const changed = this.dirty;
    // Two sets alternate, so that no frame allocates one.
    this.dirty = this.spare;
    for (const paint of this.painters) paint(changed);
    changed.clear();
    this.spare = changed;
  };
}
