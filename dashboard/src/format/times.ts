import { locale, words } from "../words";

const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;
const TODAY: Intl.DateTimeFormatOptions = { ...CLOCK, second: "2-digit" };
const SAME_YEAR: Intl.DateTimeFormatOptions = { month: "numeric", day: "numeric", ...CLOCK };
const OTHER_YEAR: Intl.DateTimeFormatOptions = { year: "numeric", month: "numeric", day: "numeric" };

const formatters = new Map<string, Intl.DateTimeFormat>();
/** Today, from midnight to midnight in ms since 1970. */
let today = { begin: 0, end: 0, year: 0 };

/**
 * Format a time in ms since 1970. A time of today becomes a time of day with seconds. Another time of this year becomes a
 * date with hours and minutes. A time of another year becomes a date.
 */
export function shortTime(ms: number): string {
  const now = Date.now();
  if (now < today.begin || now >= today.end) today = dayOf(now);
  if (ms >= today.begin && ms < today.end) return format("today", TODAY, ms);
  const sameYear = new Date(ms).getFullYear() === today.year;
  return sameYear ? format("same year", SAME_YEAR, ms) : format("other year", OTHER_YEAR, ms);
}

function dayOf(ms: number): typeof today {
  const begin = new Date(ms).setHours(0, 0, 0, 0);
  // A day may have 23 or 25 hours.
  const end = new Date(begin).setDate(new Date(begin).getDate() + 1);
  return { begin, end, year: new Date(ms).getFullYear() };
}

function format(name: string, fields: Intl.DateTimeFormatOptions, ms: number): string {
  const key = `${locale.value} ${name}`;
  const formatter = formatters.get(key) ?? new Intl.DateTimeFormat(locale.value, fields);
  formatters.set(key, formatter);
  return formatter.format(ms);
}

/** Format a duration in ms: "12 ms", "3.4 s". */
export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : words.value.units.seconds((ms / 1000).toFixed(1));
}

/** Format a duration in seconds: "42 s", "3 min", "2 h 5 min". */
export function elapsed(seconds: number): string {
  const { units } = words.value;
  if (seconds < 60) return units.seconds(Math.floor(seconds));
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? units.minutes(minutes) : units.hours(Math.floor(minutes / 60), minutes % 60);
}
