import { locale } from "../words";
import { NONE } from "./numbers";

const UNITS = ["B", "KB", "MB", "GB", "TB"];

/** Bytes as people say them: 61997056 is "62 MB". */
export function bytes(value: number | null | undefined): string {
  if (value == null) return NONE;
  const step = value < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(value) / 3));
  const shown = (value / 1000 ** step).toLocaleString(locale.value, { maximumSignificantDigits: 3 });
  return `${shown} ${UNITS[step]}`;
}

/** A whole number with all its digits. */
export function count(value: number | null | undefined): string {
  return value == null ? NONE : Math.round(value).toLocaleString(locale.value);
}
