import { loadRights } from "./rights";
import { token } from "./session";

/** The longest wait for the name of the user. */
const MAX_WAIT_MS = 3_000;

let identification: Promise<void> | null = null;

/**
 * Wait for the name of the user, if the page has no token. Call this before the page opens its first stream.
 *
 * A cookie or a proxy then identifies the user, and only the name keeps the streams of different users apart. Without an
 * answer, the page continues after three seconds.
 */
export function identify(): Promise<void> {
  identification ??= token.value === null ? Promise.race([loadRights(), timeout()]) : Promise.resolve();
  return identification;
}

const timeout = (): Promise<void> => new Promise((resolve) => window.setTimeout(resolve, MAX_WAIT_MS));
