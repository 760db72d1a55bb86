const LEAST = 20_000; // ms: what trades often may rest so long without being suspect
const TIMES = 12; // as many usual gaps

interface Rhythm {
  last: number; // ms
  gap: number; // ms, a moving average
}

/** Notices symbols that fell silent against their own habit: their price may no longer be the newest. */
export class Silence {
  private readonly rhythms = new Map<string, Rhythm>();
  private since = 0;

  /** Silence counts from now (ms) only: the market stood still, or could not be heard. */
  begin(now: number): void {
    this.since = now;
  }

  heard(symbol: string, now: number): void {
    const known = this.rhythms.get(symbol);
    if (!known) {
      this.rhythms.set(symbol, { last: now, gap: 0 });
      return;
    }
    known.gap += (Math.min(now - known.last, 60_000) - known.gap) / 8;
    known.last = now;
  }

  /** Whether nothing came of the symbol for much longer than usual. One that came once only has no habit. */
  of(symbol: string, now: number): boolean {
    const known = this.rhythms.get(symbol);
    if (known === undefined || known.gap === 0) return false;
    return now - Math.max(known.last, this.since) > Math.max(LEAST, TIMES * known.gap);
  }
}
