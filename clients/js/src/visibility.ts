/**
 * `hidden`: the page is hidden and receives updates less often; `paused`: the page was hidden for so long that its
 * streams are closed.
 */
export type Visibility = "visible" | "hidden" | "paused";

/** Reports whether the page is visible, hidden, or hidden for longer than `pauseAfterMs` (null: never paused). */
export class VisibilityMonitor {
  current: Visibility;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private pauseAfterMs: number | null,
    private readonly onChange: (visibility: Visibility) => void,
  ) {
    this.current = isHidden() ? "hidden" : "visible";
    if (typeof document !== "undefined") document.addEventListener("visibilitychange", this.update);
    this.schedulePause();
  }

  /** Use another time until a hidden page is paused. */
  setPause(pauseAfterMs: number | null): void {
    this.pauseAfterMs = pauseAfterMs;
    this.update();
  }

  stop(): void {
    clearTimeout(this.timer);
    if (typeof document !== "undefined") document.removeEventListener("visibilitychange", this.update);
  }

  private readonly update = (): void => {
    this.set(isHidden() ? (this.current === "paused" && this.pauseAfterMs !== null ? "paused" : "hidden") : "visible");
    this.schedulePause();
  };

  private schedulePause(): void {
    clearTimeout(this.timer);
    if (this.current !== "hidden" || this.pauseAfterMs === null) return;
    this.timer = setTimeout(() => this.set("paused"), this.pauseAfterMs);
  }

  private set(visibility: Visibility): void {
    if (visibility === this.current) return;
    this.current = visibility;
    this.onChange(visibility);
  }
}

const isHidden = (): boolean => typeof document !== "undefined" && document.hidden;
