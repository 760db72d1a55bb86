/** The candle intervals of the server, and the length of each in seconds. */
export const intervalSeconds = {
  "1s": 1,
  "5s": 5,
  "15s": 15,
  "1m": 60,
  "5m": 300,
  "15m": 900,
  "1h": 3600,
  "1d": 86_400,
} as const;

export type Interval = keyof typeof intervalSeconds;
export const intervals = Object.keys(intervalSeconds) as Interval[];
export const isInterval = (text: string | undefined): text is Interval =>
  text !== undefined && Object.hasOwn(intervalSeconds, text);
