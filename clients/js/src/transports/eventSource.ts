import { EVENT_NAMES } from "../events.ts";
import { type Connection, errorOf, type StreamRequest, type TransportListener, toStreamError } from "./transport.ts";

/**
 * Open a stream with the browser's EventSource.
 *
 * An EventSource hides heartbeats that are comments, so the request asks for events. It also hides the status of a refusal,
 * so a refused request is repeated with `fetch`. A server that does not know heartbeat events refuses the parameter; the
 * next connections then omit it.
 */
export function openEventSource(
  request: StreamRequest,
  listener: TransportListener,
  renew: () => Promise<StreamRequest>,
): Connection {
  const url = new URL(request.url);
  const heartbeats = !withoutHeartbeats.has(url.origin);
  if (heartbeats) url.searchParams.set("heartbeats", "event");
  const source = new EventSource(url, { withCredentials: request.withCredentials });
  const abort = new AbortController();
  let accepted = false;
  let lastId = "";
  const receive = (name: string, event: MessageEvent<string>): void => {
    listener.onBytes();
    // The browser repeats the last id for an event without an id.
    const id = event.lastEventId === lastId ? "" : event.lastEventId;
    lastId = event.lastEventId;
    listener.onEvents([[name, event.data, id]]);
  };
  const known = new Set<string>();
  const listen = (names: Iterable<string>): void => {
    for (const name of names) {
      if (known.has(name)) continue;
      known.add(name);
      source.addEventListener(name, (event) => receive(name, event));
    }
  };
  const end = async (): Promise<void> => {
    source.close();
    const error = accepted ? null : await findRefusal(renew, heartbeats, abort.signal).catch(toStreamError);
    if (!abort.signal.aborted) listener.onEnd(error);
  };
  source.onopen = () => {
    accepted = true;
    listener.onOpen();
  };
  source.onmessage = (event) => receive("quote", event);
  source.onerror = () => void end();
  source.addEventListener("heartbeat", () => listener.onBytes());
  listen(EVENT_NAMES);
  return {
    close: () => {
      source.close();
      abort.abort();
    },
    listen,
  };
}

/** The origins of servers that do not know heartbeat events. */
const withoutHeartbeats = new Set<string>();

/**
 * Return whether an EventSource receives the heartbeats of this server, so that a quiet stream does not look broken.
 */
export const showsHeartbeats = (url: string): boolean => !withoutHeartbeats.has(new URL(url).origin);

/** Repeat a request to learn why the server refused it. Only the head of an accepted answer is read. */
async function findRefusal(renew: () => Promise<StreamRequest>, heartbeats: boolean, signal: AbortSignal) {
  const request = await renew();
  const url = new URL(request.url);
  if (heartbeats) url.searchParams.set("heartbeats", "event");
  const stop = new AbortController();
  signal.addEventListener("abort", () => stop.abort());
  try {
    const credentials = request.withCredentials ? "include" : "same-origin";
    const response = await fetch(url, { credentials, signal: stop.signal });
    if (response.ok) return null;
    const error = await errorOf(response);
    if (!heartbeats || response.status !== 400 || !error.message.includes("heartbeats")) return error;
    withoutHeartbeats.add(url.origin);
    return { status: 0, message: error.message, retryAfterMs: 1 };
  } finally {
    stop.abort();
  }
}
