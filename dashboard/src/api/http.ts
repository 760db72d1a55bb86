import { words } from "../words";
import { type SignInReason, signInReason, signOut, token } from "./session";
import type { Problem } from "./types";

/** A response other than 2xx; the message is the server's own explanation. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Partial<Problem>,
    readonly retryAfter: number | null, // seconds
  ) {
    super(problem.detail ?? problem.title ?? `HTTP ${status}`);
  }
}

/**
 * Send a request with the token and return the decoded JSON.
 *
 * `path` is relative to the page, such as "v1/instruments". Throws HttpError for a response other than 2xx.
 */
export async function request<T>(path: string, init: RequestInit & { json?: unknown } = {}): Promise<T> {
  const { json, ...rest } = init;
  const headers = new Headers(rest.headers);
  const sentToken = token.value;
  if (sentToken !== null) headers.set("Authorization", `Bearer ${sentToken}`);
  if (json !== undefined) headers.set("Content-Type", "application/json");
  const body = json === undefined ? (rest.body ?? null) : JSON.stringify(json);
  const response = await fetch(path, { ...rest, headers, body }).catch((error: unknown) => {
    // The browser's own message is terse and in the browser's language, not in the page's.
    throw error instanceof TypeError ? new Error(words.value.shell.unreachable, { cause: error }) : error;
  });
  if (!response.ok) throw await httpErrorFrom(response, sentToken);
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

const signOutReason = (sentToken: string | null, { detail = "" }: Partial<Problem>): [SignInReason, string] =>
  sentToken === null ? ["required", ""] : ["rejected", detail];

/** Return the error of a response. A 401 opens the sign-in form, unless the user has signed in with another token since. */
export async function httpErrorFrom(response: Response, sentToken: string | null): Promise<HttpError> {
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  const current = token.value === sentToken && signInReason.value === null;
  if (response.status === 401 && current) signOut(...signOutReason(sentToken, problem));
  const retryAfter = Number(response.headers.get("Retry-After"));
  return new HttpError(response.status, problem, retryAfter > 0 ? retryAfter : null);
}
