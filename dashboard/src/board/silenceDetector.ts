/** A symbol that trades often may be silent for this long before it is suspicious. */
const MIN_SILENCE_MS = 20_000;
/** A silence that is this many times longer than the average gap is suspicious. */
const SILENCE_FACTOR = 12;
/** One long pause must not dominate the average. */
const MAX_GAP_MS = 60_000;

interface Rhythm {
  last: number; // ms
  averageGap: number; // ms, a moving average
}

/** Detects symbols that are silent for much longer than usual: their price may be old. */
export class SilenceDetector {
  private readonly rhythms = new Map<string, Rhythm>();
  private since = 0;

  /** Ignore silence before `now` (ms), because the market stood still or the connection was down. */
  restart(now: number): void {
    this.since = now;
  }

  record(symbol: string, now: number): void {
    const rhythm = this.rhythms.get(symbol);
    if (!rhythm) {
      this.rhythms.set(symbol, { last: now, averageGap: 0 });
      return;
    }
    rhythm.averageGap += (Math.min(now - rhythm.last, MAX_GAP_MS) - rhythm.averageGap) / 8;
    rhythm.last = now;
  }

  /** Whether the symbol is silent for much longer than usual. After a single quote there is no average to compare with. */
  isSilent(symbol: string, now: number): boolean {
    const rhythm = this.rhythms.get(symbol);
    if (rhythm === undefined || rhythm.averageGap === 0) return false;
    return now - Math.max(rhythm.last, this.since) > Math.max(MIN_SILENCE_MS, SILENCE_FACTOR * rhythm.averageGap);
  }
}
