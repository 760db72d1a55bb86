import { useEffect } from "preact/hooks";

/** Call `read` now and every `ms` while a component is there and the tab is seen; a slow answer is waited for. */
export function usePolling(read: () => Promise<void>, ms: number): void {
  useEffect(() => {
    const poll = new Poll(read, ms);
    return () => poll.stop();
  }, [read, ms]);
}

class Poll {
  private timer = 0;
  private busy = false;
  private stopped = false;

  constructor(
    private readonly read: () => Promise<void>,
    private readonly ms: number,
  ) {
    document.addEventListener("visibilitychange", this.turn);
    this.turn();
  }

  stop(): void {
    this.stopped = true;
    window.clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.turn);
  }

  private readonly turn = async (): Promise<void> => {
    window.clearTimeout(this.timer);
    if (this.busy || this.stopped || document.hidden) return;
    this.busy = true;
    await this.read();
    this.busy = false;
    if (!this.stopped) this.timer = window.setTimeout(this.turn, this.ms);
  };
}
