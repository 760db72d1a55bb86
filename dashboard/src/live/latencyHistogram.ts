// Buckets are logarithmic, eight to a doubling: 128 counters hold every latency within 9 %.
const BUCKETS_PER_DOUBLING = 8;
const BUCKETS = 128;
/** The upper bound of the first bucket. */
const FIRST_BUCKET_MS = 1;

const SLOT_MS = 2_000;
/** Three minutes of slots. */
const MAX_SLOTS = 90;

/** The latencies of one period of `SLOT_MS`. */
interface Slot {
  begin: number; // ms
  counts: Uint32Array;
  max: number; // ms
}

/** Latencies in ms. */
export interface Percentiles {
  count: number;
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

/** The latencies of the last three minutes. Every `now` is a time in ms, as `performance.now()` returns it. */
export class LatencyHistogram {
  private readonly slots: Slot[] = [];

  add(ms: number, now: number): void {
    const slot = this.slotAt(now);
    // A latency can be negative, because the two clocks differ.
    const value = Math.max(ms, 0);
    const bucket = value <= FIRST_BUCKET_MS ? 0 : Math.ceil(Math.log2(value / FIRST_BUCKET_MS) * BUCKETS_PER_DOUBLING);
    const index = Math.min(bucket, BUCKETS - 1);
    slot.counts[index] = (slot.counts[index] ?? 0) + 1;
    slot.max = Math.max(slot.max, value);
  }

  /** Return the percentiles of the last `ms`; null without a measurement. */
  percentilesOver(ms: number, now: number): Percentiles | null {
    return percentilesOf(this.slots.filter((slot) => slot.begin > now - ms));
  }

  /** Return the percentiles of every slot, oldest first. */
  history(): { begin: number; percentiles: Percentiles }[] {
    return this.slots.flatMap((slot) => {
      const percentiles = percentilesOf([slot]);
      return percentiles ? [{ begin: slot.begin, percentiles }] : [];
    });
  }

  private slotAt(now: number): Slot {
    const begin = now - (now % SLOT_MS);
    const newest = this.slots.at(-1);
    if (newest?.begin === begin) return newest;
    const slot = { begin, counts: new Uint32Array(BUCKETS), max: 0 };
    this.slots.push(slot);
    while ((this.slots[0]?.begin ?? begin) <= begin - MAX_SLOTS * SLOT_MS) this.slots.shift();
    return slot;
  }
}

function percentilesOf(slots: readonly Slot[]): Percentiles | null {
  const sums = new Float64Array(BUCKETS);
  for (const { counts } of slots) {
    for (let index = 0; index < BUCKETS; index++) sums[index] = (sums[index] ?? 0) + (counts[index] ?? 0);
  }
  const count = sums.reduce((sum, each) => sum + each, 0);
  if (count === 0) return null;
  const max = Math.max(...slots.map((slot) => slot.max));
  const quantile = (share: number): number => Math.min(max, quantileBound(sums, count * share));
  return { count, p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99), max };
}

/** Return the upper bound of the bucket in which the cumulative count reaches `rank`. */
function quantileBound(sums: Float64Array, rank: number): number {
  let cumulative = 0;
  const bucket = sums.findIndex((each) => {
    cumulative += each;
    return cumulative >= rank;
  });
  return FIRST_BUCKET_MS * 2 ** (bucket / BUCKETS_PER_DOUBLING);
}
