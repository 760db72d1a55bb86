/** The intervals of candles that the server makes, and how long each is in seconds. */
export const lengths = {
  "1s": 1,
  "5s": 5,
  "15s": 15,
  "1m": 60,
  "5m": 300,
  "15m": 900,
  "1h": 3600,
  "1d": 86_400,
} as const;

export type Interval = keyof typeof lengths;
export const intervals = Object.keys(lengths) as Interval[];
export const isInterval = (text: string | undefined): text is Interval => text !== undefined && text in lengths;
