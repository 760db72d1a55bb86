import { ask } from "../api/http";

/** What the server says of the market's time. One that it paces itself (a simulation, a recording) has a speed. */
interface Answer {
  state: string;
  time: number | null; // microseconds since 1970
  speed?: number; // market seconds a second
}

/** By how much market time was ahead of ours, in microseconds, and how long the question was on its way, in ms. */
interface Reading {
  ahead: number;
  trip: number;
}

const AT_FIRST = 5; // readings close after each other
const APART = 300; // ms
const EVERY = 30_000; // ms, from then on: clocks drift, and a laptop sleeps
const KEPT = 8;

/**
 * The clock that a price's `ts` was read from. A feed from outside uses the server's, which is asked over and over; as in
 * NTP the server is taken to have answered in the middle of the trip, and the shortest trip is believed.
 *
 * A simulation or a recording has a market time that may run at another speed, or stand still, and is known only by its
 * ticks. But a tick is let go when it is due: market time is at least that of each tick that came, less half a trip.
 */
export class Timepiece {
  private readings: Reading[] = [];
  private speed = 1;
  private paced = false;
  private bound = -Infinity; // the most that market time was seen ahead in this stretch, and in the one before
  private boundBefore = -Infinity;
  private timer = 0;
  private round = 0;

  /** Forget what was known (the feed was paused, or its speed changed) and begin anew. */
  begin(): void {
    this.readings = [];
    this.bound = this.boundBefore = -Infinity;
    this.again(0);
  }

  stop(): void {
    window.clearTimeout(this.timer);
    this.round += 1;
  }

  /** A tick of `ts` is here at a local time (ms). */
  saw(ts: number, now: number): void {
    if (!this.paced) return;
    this.bound = Math.max(this.bound, ts - this.micros(now));
  }

  /** How many ms ago `ts` was, at a local time (ms); null while that is not known. */
  since(ts: number, now: number): number | null {
    const ahead = this.ahead();
    return ahead === null || this.speed === 0 ? null : (ahead + this.micros(now) - ts) / 1000 / this.speed;
  }

  /** How wrong that may be, in ms. */
  error(): number {
    return this.readings.reduce((least, { trip }) => Math.min(least, trip / 2), Infinity);
  }

  private micros(now: number): number {
    return now * 1000 * this.speed;
  }

  private ahead(): number | null {
    if (this.readings.length === 0) return null;
    if (this.paced) return Math.max(this.bound, this.boundBefore) + this.micros(this.error());
    return this.readings.reduce((best, each) => (each.trip < best.trip ? each : best)).ahead;
  }

  private again(count: number): void {
    this.stop();
    const round = this.round;
    const wait = count === 0 ? 0 : count < AT_FIRST ? APART : EVERY;
    this.timer = window.setTimeout(() => void this.read(count, round), wait);
  }

  private async read(count: number, round: number): Promise<void> {
    const asked = performance.now();
    try {
      const answer = await ask<Answer>("v1/simulator");
      if (round !== this.round) return;
      this.keep(answer, asked, performance.now());
      if (count >= AT_FIRST) [this.boundBefore, this.bound] = [this.bound, -Infinity];
    } catch {
      // the next one may come through
    }
    if (round === this.round) this.again(count + 1);
  }

  private keep({ time, speed, state }: Answer, asked: number, answered: number): void {
    this.paced = speed !== undefined;
    this.speed = speed ?? 1;
    if (time === null || (this.paced && state !== "running")) return;
    const middle = (asked + answered) / 2;
    this.readings = [...this.readings.slice(1 - KEPT), { ahead: time - this.micros(middle), trip: answered - asked }];
    this.saw(time, answered);
  }
}
