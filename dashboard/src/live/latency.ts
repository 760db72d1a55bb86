// Times in logarithmic buckets, eight to a doubling: within 9 % at any size, in 128 counters.
const PER_DOUBLING = 8;
const BUCKETS = 128;
const LEAST = 1; // ms, the first bucket's upper end

export const SLOT = 2_000; // ms
const SLOTS = 90; // three minutes

/** Counts of latencies in a stretch of time. */
interface Slot {
  begin: number;
  counts: Uint32Array;
  most: number;
}

export interface Percentiles {
  count: number;
  p50: number;
  p90: number;
  p99: number;
  most: number;
}

/** How long prices took, of the last three minutes. */
export class Latency {
  private readonly slots: Slot[] = [];

  add(ms: number, now: number): void {
    const slot = this.slotAt(now);
    const value = Math.max(ms, 0); // less than nothing is the clocks' error
    const bucket = value <= LEAST ? 0 : Math.ceil(Math.log2(value / LEAST) * PER_DOUBLING);
    const at = Math.min(bucket, BUCKETS - 1);
    slot.counts[at] = (slot.counts[at] ?? 0) + 1;
    slot.most = Math.max(slot.most, value);
  }

  /** Of the last `ms`; null where nothing came. */
  over(ms: number, now: number): Percentiles | null {
    return percentiles(this.slots.filter((slot) => slot.begin > now - ms));
  }

  /** Of each slot, oldest first, for a picture. */
  history(): { begin: number; of: Percentiles }[] {
    return this.slots.flatMap((slot) => {
      const of = percentiles([slot]);
      return of ? [{ begin: slot.begin, of }] : [];
    });
  }

  clear(): void {
    this.slots.length = 0;
  }

  private slotAt(now: number): Slot {
    const begin = now - (now % SLOT);
    const newest = this.slots.at(-1);
    if (newest?.begin === begin) return newest;
    const made = { begin, counts: new Uint32Array(BUCKETS), most: 0 };
    this.slots.push(made);
    while ((this.slots[0]?.begin ?? begin) <= begin - SLOTS * SLOT) this.slots.shift();
    return made;
  }
}

function percentiles(slots: readonly Slot[]): Percentiles | null {
  const sums = new Float64Array(BUCKETS);
  for (const { counts } of slots) for (let at = 0; at < BUCKETS; at++) sums[at] = (sums[at] ?? 0) + (counts[at] ?? 0);
  const count = sums.reduce((sum, each) => sum + each, 0);
  if (count === 0) return null;
  const most = Math.max(...slots.map((slot) => slot.most));
  const at = (share: number): number => Math.min(most, bound(sums, count * share));
  return { count, p50: at(0.5), p90: at(0.9), p99: at(0.99), most };
}

/** The upper end of the bucket in which so many are reached. */
function bound(sums: Float64Array, wanted: number): number {
  let reached = 0;
  const found = sums.findIndex((each) => {
    reached += each;
    return reached >= wanted;
  });
  return LEAST * 2 ** (found / PER_DOUBLING);
}
