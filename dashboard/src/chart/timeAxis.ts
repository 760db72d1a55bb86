import { defaultHorzScaleBehavior, TickMarkType, type Time } from "lightweight-charts";
import { locale } from "../words";

const DAY_S = 86_400;
const SESSION_DATE_SHIFT = 13 * 3600;
const MILLI = 1000;

/**
 * The labels of the time axis. Every time is in seconds since 1970.
 *
 * Candles shorter than a day show times in the viewer's time zone. A daily candle shows the date of its session in every
 * time zone: it starts at the exchange's midnight or the evening before, and thirteen hours later the UTC date is the
 * session's date, for exchanges from Honolulu (UTC-10) to Wellington in summer (UTC+13).
 */
export interface TimeFormat {
  /** Return the time that the axis receives instead of `seconds`, because the axis shows dates and times in UTC. */
  displayTime: (seconds: number) => number;
  tickLabel: (seconds: number, type: TickMarkType) => string;
  fullLabel: (seconds: number) => string;
}

/** Return the labels for candles of this many seconds. */
export function timeFormatFor(seconds: number): TimeFormat {
  const daily = seconds >= DAY_S;
  const displayTime = daily ? sessionDate : localTime;
  const tickFormats = tickFormatters();
  const fullFormat = utcFormat(daily ? FULL_DATE : seconds >= 60 ? FULL_MINUTE : FULL_SECOND);
  return {
    displayTime,
    // If the axis shows only a single day, the library asks for the hour as the label, but a daily candle still needs
    // its date.
    tickLabel: (at, type) =>
      (tickFormats[daily ? Math.min(type, TickMarkType.DayOfMonth) : type] ?? fullFormat).format(
        displayTime(at) * MILLI,
      ),
    fullLabel: (at) => fullFormat.format(displayTime(at) * MILLI),
  };
}

const sessionDate = (seconds: number): number => seconds + SESSION_DATE_SHIFT;
const localTime = (seconds: number): number => seconds - new Date(seconds * MILLI).getTimezoneOffset() * 60;

type Fields = Intl.DateTimeFormatOptions;
const CLOCK: Fields = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const FULL_DATE: Fields = { weekday: "short", year: "numeric", month: "short", day: "numeric" };
const FULL_MINUTE: Fields = { weekday: "short", month: "short", day: "numeric", ...CLOCK };
const FULL_SECOND: Fields = { month: "short", day: "numeric", ...CLOCK, second: "2-digit" };

const utcFormat = (fields: Fields) => new Intl.DateTimeFormat(locale.value, { ...fields, timeZone: "UTC" });

const tickFormatters = (): Record<number, Intl.DateTimeFormat> => ({
  [TickMarkType.Year]: utcFormat({ year: "numeric" }),
  [TickMarkType.Month]: utcFormat({ month: "short" }),
  [TickMarkType.DayOfMonth]: utcFormat({ month: "short", day: "numeric" }),
  [TickMarkType.Time]: utcFormat(CLOCK),
  [TickMarkType.TimeWithSeconds]: utcFormat({ ...CLOCK, second: "2-digit" }),
});

type Points = Parameters<InstanceType<typeof TimeAxis>["fillWeightsForPoints"]>[0];
const TimeAxis = defaultHorzScaleBehavior();

/** The library's time axis, with days that begin at the viewer's midnight instead of UTC midnight. */
export class ZonedTimeAxis extends TimeAxis {
  constructor(private readonly format: TimeFormat) {
    super();
  }

  override fillWeightsForPoints(points: Points, start: number): void {
    // The weight of a point depends on the point before it.
    const from = Math.max(0, start - 1);
    const moved = points.slice(from).map((point) => ({ ...point, time: this.shifted(point.time) }));
    super.fillWeightsForPoints(moved, start - from);
    for (const [at, { timeWeight }] of moved.entries()) {
      const point = points[from + at];
      if (point && from + at >= start) point.timeWeight = timeWeight;
    }
  }

  private shifted(time: Points[number]["time"]): Points[number]["time"] {
    const { timestamp } = time as unknown as { timestamp: number };
    return { ...time, timestamp: this.format.displayTime(timestamp) } as unknown as Points[number]["time"];
  }
}

export type { Time };
