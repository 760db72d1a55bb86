import { defaultHorzScaleBehavior, TickMarkType, type Time } from "lightweight-charts";
import { locale } from "../words";

const DAY = 86_400; // seconds
const INTO_THE_DAY = 13 * 3600;
const MILLI = 1000;

/**
 * How moments, in seconds since 1970, are told on the axis of times.
 *
 * Shorter candles than a day are told in the viewer's own zone. A day's candle has the date of its session, wherever one
 * looks at it from: it begins at that exchange's midnight or the evening before, and thirteen hours later it is the
 * session's date in UTC, for exchanges from Honolulu (UTC-10) to Wellington in summer (UTC+13).
 */
export interface Zone {
  /** The moment whose UTC fields are what is shown. */
  shown: (seconds: number) => number;
  mark: (seconds: number, type: TickMarkType) => string;
  full: (seconds: number) => string;
}

export function zoneFor(seconds: number): Zone {
  const shown = seconds >= DAY ? sessionDate : local;
  const marks = formatters();
  const full = seconds >= DAY ? FULL_DATE : seconds >= 60 ? FULL_MINUTE : FULL_SECOND;
  const fullOf = format(full);
  return {
    shown,
    // Where there is one day only, the library takes its hour for what tells it apart.
    mark: (at, type) =>
      (marks[seconds >= DAY ? Math.min(type, TickMarkType.DayOfMonth) : type] ?? fullOf).format(shown(at) * MILLI),
    full: (at) => fullOf.format(shown(at) * MILLI),
  };
}

const sessionDate = (seconds: number): number => seconds + INTO_THE_DAY;
const local = (seconds: number): number => seconds - new Date(seconds * MILLI).getTimezoneOffset() * 60;

type Fields = Intl.DateTimeFormatOptions;
const CLOCK: Fields = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const FULL_DATE: Fields = { weekday: "short", year: "numeric", month: "short", day: "numeric" };
const FULL_MINUTE: Fields = { weekday: "short", month: "short", day: "numeric", ...CLOCK };
const FULL_SECOND: Fields = { month: "short", day: "numeric", ...CLOCK, second: "2-digit" };

const format = (fields: Fields) => new Intl.DateTimeFormat(locale.value, { ...fields, timeZone: "UTC" });

const formatters = (): Record<number, Intl.DateTimeFormat> => ({
  [TickMarkType.Year]: format({ year: "numeric" }),
  [TickMarkType.Month]: format({ month: "short" }),
  [TickMarkType.DayOfMonth]: format({ month: "short", day: "numeric" }),
  [TickMarkType.Time]: format(CLOCK),
  [TickMarkType.TimeWithSeconds]: format({ ...CLOCK, second: "2-digit" }),
});

type Points = Parameters<InstanceType<typeof TimeAxis>["fillWeightsForPoints"]>[0];
const TimeAxis = defaultHorzScaleBehavior();

/** The library's axis of times, but a new day begins where it does for the viewer, not in UTC. */
export class ZonedAxis extends TimeAxis {
  constructor(private readonly zone: Zone) {
    super();
  }

  override fillWeightsForPoints(points: Points, start: number): void {
    const from = Math.max(0, start - 1); // each is weighed against the one before it
    const moved = points.slice(from).map((point) => ({ ...point, time: this.moved(point.time) }));
    super.fillWeightsForPoints(moved, start - from);
    for (const [at, { timeWeight }] of moved.entries()) {
      const point = points[from + at];
      if (point && from + at >= start) point.timeWeight = timeWeight;
    }
  }

  private moved(time: Points[number]["time"]): Points[number]["time"] {
    const { timestamp } = time as unknown as { timestamp: number };
    return { ...time, timestamp: this.zone.shown(timestamp) } as unknown as Points[number]["time"];
  }
}

export type { Time };
