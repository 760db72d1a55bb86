import type { Credentials } from "./sharing/messages.ts";
import { errorOf } from "./transports/transport.ts";

/** Without an answer in this time, the user is not known. */
const USER_TIMEOUT_MS = 5_000;

/** A token, or a function that returns a valid token whenever a connection opens. */
export type TokenSource = string | (() => string | Promise<string>);

export interface CredentialSource {
  server: string;
  transport: "fetch" | "eventsource";
  token: TokenSource | null;
  ticket: (() => string | Promise<string>) | null;
}

/** Return the credentials of one connection. An EventSource cannot send a token, so the token buys a ticket. */
export async function findCredentials({ server, transport, token, ticket }: CredentialSource): Promise<Credentials> {
  const value = typeof token === "function" ? await token() : token;
  const headers: Record<string, string> = value === null ? {} : { Authorization: `Bearer ${value}` };
  if (ticket !== null) return { headers, query: { ticket: await ticket() } };
  if (value === null || transport === "fetch") return { headers, query: {} };
  const response = await fetch(`${server}v1/tickets`, { method: "POST", headers });
  if (!response.ok) throw await errorOf(response);
  return { headers, query: { ticket: ((await response.json()) as { ticket: string }).ticket } };
}

/**
 * Return a text that differs for different users, so that they never share a stream.
 *
 * The user behind a function is not known, so this page then shares its streams with no other page. Without a token, a
 * cookie may identify the user, so the server is asked.
 */
export async function findUser({ server, token, ticket }: CredentialSource, withCredentials: boolean): Promise<string> {
  if (typeof token === "function" || ticket !== null) return pageUser;
  if (token !== null) return fingerprint(token);
  // Browsers send no cookies to other origins.
  if (!withCredentials && new URL(server).origin !== location.origin) return "";
  const key = `${server} ${withCredentials}`;
  const answer = asked.get(key) ?? askForUser(server, withCredentials).finally(() => asked.delete(key));
  asked.set(key, answer);
  return answer;
}

/** The requests in progress. Clients that start together share one request. */
const asked = new Map<string, Promise<string>>();

async function askForUser(server: string, withCredentials: boolean): Promise<string> {
  try {
    const credentials = withCredentials ? "include" : "same-origin";
    const response = await fetch(`${server}v1/whoami`, { credentials, signal: AbortSignal.timeout(USER_TIMEOUT_MS) });
    if (!response.ok) return pageUser;
    const { user } = (await response.json()) as { user: string | null };
    return user === null ? "" : `user ${user}`;
  } catch {
    return pageUser;
  }
}

const pageUser = crypto.getRandomValues(new Uint32Array(2)).join("-");

/** Return 64 bits of FNV-1a, because the token itself must not reach other pages. */
function fingerprint(token: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(token)) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  }
  return hash.toString(36);
}
