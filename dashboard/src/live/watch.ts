import { ask } from "../api/http";

const LOOK = 5_000; // ms
const PATIENCE = 2.5; // heartbeats; a browser does not tell of a heartbeat, so silence may only mean a quiet market

/** What is watched: the name under which the server knows the stream, and how often it would send something. */
interface Watched {
  clientId: string;
  heartbeat: () => number | null; // ms; null while there is nothing to watch
  lost: () => void;
}

/**
 * Notices a connection that died without a word: a laptop that slept, a network that changed. After a long silence the
 * server is asked whether it still has the stream. `heard` is to be called with everything that comes.
 */
export class Watch {
  private last = performance.now();

  constructor(private readonly watched: Watched) {
    window.setInterval(() => void this.look(), LOOK);
  }

  heard(now: number): void {
    this.last = now;
  }

  private async look(): Promise<void> {
    const heartbeat = this.watched.heartbeat();
    if (heartbeat === null || performance.now() - this.last < PATIENCE * heartbeat) return;
    this.last = performance.now();
    try {
      await ask(`v1/clients/${this.watched.clientId}`);
    } catch {
      this.watched.lost(); // it has not, or cannot be reached
    }
  }
}
