import { words } from "../words";
import { refused, signOut, token } from "./session";
import type { Problem } from "./types";

/** An answer other than 2xx, with the server's own words for it. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly problem: Partial<Problem>,
    readonly retryAfter: number | null, // seconds
  ) {
    super(problem.detail ?? problem.title ?? `HTTP ${status}`);
  }
}

/** Ask the server; `path` is relative to the page, such as "v1/instruments". Refusal where it says no. */
export async function ask<T>(path: string, init: RequestInit & { json?: unknown } = {}): Promise<T> {
  const { json, ...rest } = init;
  const headers = new Headers(rest.headers);
  const used = token.value;
  if (used !== null) headers.set("Authorization", `Bearer ${used}`);
  if (json !== undefined) headers.set("Content-Type", "application/json");
  const body = json === undefined ? (rest.body ?? null) : JSON.stringify(json);
  const answer = await fetch(path, { ...rest, headers, body }).catch((error: unknown) => {
    // A browser's own words for it are few, and in a language of its own choice.
    throw error instanceof TypeError ? new Error(words.value.shell.unreachable, { cause: error }) : error;
  });
  if (!answer.ok) throw await refusal(answer, used);
  const text = await answer.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** What an answer refuses. A 401 leads to the sign-in form, unless somebody has signed in with another token meanwhile. */
export async function refusal(answer: Response, used: string | null): Promise<Refusal> {
  const current = token.value === used && refused.value === null;
  if (answer.status === 401 && current) signOut(used === null ? "required" : "refused");
  const problem = (await answer.json().catch(() => ({}))) as Partial<Problem>;
  const wait = Number(answer.headers.get("Retry-After"));
  return new Refusal(answer.status, problem, wait > 0 ? wait : null);
}
