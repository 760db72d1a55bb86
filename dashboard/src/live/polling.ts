import { useEffect } from "preact/hooks";

/**
 * Call `read` at once and then every `ms`, while the component is mounted and the tab is visible. The pause starts when
 * `read` is done, so calls never overlap.
 */
export function usePolling(read: () => Promise<void>, ms: number): void {
  useEffect(() => {
    const poller = new Poller(read, ms);
    return () => poller.stop();
  }, [read, ms]);
}

class Poller {
  private timer = 0;
  private busy = false;
  private stopped = false;

  constructor(
    private readonly read: () => Promise<void>,
    private readonly ms: number,
  ) {
    document.addEventListener("visibilitychange", this.poll);
    this.poll();
  }

  stop(): void {
    this.stopped = true;
    window.clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.poll);
  }

  private readonly poll = async (): Promise<void> => {
    window.clearTimeout(this.timer);
    if (this.busy || this.stopped || document.hidden) return;
    this.busy = true;
    await this.read();
    this.busy = false;
    if (!this.stopped) this.timer = window.setTimeout(this.poll, this.ms);
  };
}
