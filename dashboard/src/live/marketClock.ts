import { request } from "../api/http";

/** The market's time, as the server reports it. Only a simulation or a recording has a speed. */
interface SimulatorTime {
  state: string;
  time: number | null; // microseconds since 1970
  speed?: number; // market seconds per second
}

/** One comparison of the two clocks: market time minus local time, and the round trip of the request. */
interface Reading {
  offset: number; // microseconds
  roundTrip: number; // ms
}

/** The first readings follow each other closely; later ones correct for clock drift and for a laptop that slept. */
const INITIAL_READINGS = 5;
const INITIAL_INTERVAL_MS = 300;
const INTERVAL_MS = 30_000;
const MAX_READINGS = 8;

/**
 * An estimate of the clock that stamps prices, used to compute how old a price is.
 *
 * An external feed uses the server's clock. As in NTP, the server is taken to have answered in the middle of the round
 * trip, and the reading with the shortest round trip is used.
 *
 * A simulation or a recording has a market time of its own, which may run at another speed or stand still, and shows in
 * its ticks only. The server never sends a tick early, so market time is at least the time of every tick received,
 * less half a round trip.
 */
export class MarketClock {
  private readings: Reading[] = [];
  private speed = 1;
  private paced = false;
  /** The largest difference between a tick's time and the local time, in this interval and in the previous one. */
  private maxOffset = -Infinity;
  private previousMaxOffset = -Infinity;
  private timer = 0;
  private generation = 0;

  /** Discard all readings and start again, after the feed was paused or its speed changed. */
  restart(): void {
    this.readings = [];
    this.maxOffset = this.previousMaxOffset = -Infinity;
    this.schedule(0);
  }

  stop(): void {
    window.clearTimeout(this.timer);
    this.generation += 1;
  }

  /** Record that a tick with time `ts` arrived at the local time `now` (ms). */
  observe(ts: number, now: number): void {
    if (!this.paced) return;
    this.maxOffset = Math.max(this.maxOffset, ts - this.micros(now));
  }

  /** Return the age of `ts` in ms at the local time `now` (ms); null while it is unknown. */
  ageOf(ts: number, now: number): number | null {
    const offset = this.offset();
    return offset === null || this.speed === 0 ? null : (offset + this.micros(now) - ts) / 1000 / this.speed;
  }

  /** Return the largest possible error of an age, in ms. */
  errorMs(): number {
    return this.readings.reduce((least, { roundTrip }) => Math.min(least, roundTrip / 2), Infinity);
  }

  private micros(now: number): number {
    return now * 1000 * this.speed;
  }

  private offset(): number | null {
    if (this.readings.length === 0) return null;
    if (this.paced) return Math.max(this.maxOffset, this.previousMaxOffset) + this.micros(this.errorMs());
    return this.readings.reduce((best, each) => (each.roundTrip < best.roundTrip ? each : best)).offset;
  }

  private schedule(count: number): void {
    this.stop();
    const generation = this.generation;
    const wait = count === 0 ? 0 : count < INITIAL_READINGS ? INITIAL_INTERVAL_MS : INTERVAL_MS;
    this.timer = window.setTimeout(() => void this.read(count, generation), wait);
  }

  private async read(count: number, generation: number): Promise<void> {
    const sentAt = performance.now();
    try {
      const answer = await request<SimulatorTime>("v1/simulator");
      if (generation !== this.generation) return;
      this.addReading(answer, sentAt, performance.now());
      if (count >= INITIAL_READINGS) [this.previousMaxOffset, this.maxOffset] = [this.maxOffset, -Infinity];
    } catch {
      // Ignore the error, because the next reading may succeed.
    }
    if (generation === this.generation) this.schedule(count + 1);
  }

  private addReading({ time, speed, state }: SimulatorTime, sentAt: number, answeredAt: number): void {
    this.paced = speed !== undefined;
    this.speed = speed ?? 1;
    if (time === null || (this.paced && state !== "running")) return;
    const middle = (sentAt + answeredAt) / 2;
    const reading = { offset: time - this.micros(middle), roundTrip: answeredAt - sentAt };
    this.readings = [...this.readings.slice(1 - MAX_READINGS), reading];
    this.observe(time, answeredAt);
  }
}
