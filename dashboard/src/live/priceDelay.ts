const SLOT_MS = 1_000;
/**
 * The number of seconds whose smallest age is the delay. A single old price does not increase the delay, because one old
 * price among new prices is no sign of a slow network.
 */
const SLOTS = 4;

/**
 * The delay of prices on their way to the page, in ms.
 *
 * It is the age of the newest prices, compared with the youngest price since the connection opened. A feed whose clock is
 * wrong, or whose prices are old when it publishes them, therefore does not look late.
 */
export class PriceDelay {
  private youngest = Infinity;
  /** The least age in each of the last seconds. */
  private slots: { begin: number; age: number }[] = [];

  restart(): void {
    this.youngest = Infinity;
    this.slots = [];
  }

  /** Record the age of a price that arrived at `now`, both in ms. */
  add(age: number, now: number): void {
    this.youngest = Math.min(this.youngest, age);
    const begin = now - (now % SLOT_MS);
    const newest = this.slots.at(-1);
    if (newest?.begin === begin) newest.age = Math.min(newest.age, age);
    else this.slots = [...this.slots.slice(1 - SLOTS), { begin, age }];
  }

  /** Return the delay of the prices that arrived most recently; 0 before the first price. */
  at(now: number): number {
    const recent = this.slots.filter(({ begin }) => begin > now - 2 * SLOTS * SLOT_MS).map(({ age }) => age);
    return recent.length === 0 ? 0 : Math.min(...recent) - this.youngest;
  }
}
