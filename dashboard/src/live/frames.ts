/** Symbols whose quotes changed since the last frame, given out once a frame however often they changed. */
export class Frames {
  private dirty = new Set<string>();
  private spare = new Set<string>();
  private asked = false;
  private readonly painters = new Set<(changed: ReadonlySet<string>) => void>();

  /** `paint` is called in each animation frame in which something changed, until the returned function is. */
  each(paint: (changed: ReadonlySet<string>) => void): () => void {
    this.painters.add(paint);
    return () => this.painters.delete(paint);
  }

  mark(symbol: string): void {
    this.dirty.add(symbol);
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(this.run);
  }

  private readonly run = (): void => {
    this.asked = false;
    const changed = this.dirty;
    this.dirty = this.spare; // two sets by turns: none is made anew sixty times a second
    for (const paint of this.painters) paint(changed);
    changed.clear();
    this.spare = changed;
  };
}
