import { createParser } from "eventsource-parser";
import type { RawEvent } from "../events.ts";
import { type Connection, errorOf, type StreamRequest, type TransportListener, toStreamError } from "./transport.ts";

/** The largest event that is accepted, in characters. */
const MAX_EVENT_SIZE = 64 * 1024 * 1024;

/** Open a stream with `fetch`. Heartbeats, the status of a refusal and request headers are available. */
export function openFetch(request: StreamRequest, listener: TransportListener): Connection {
  const abort = new AbortController();
  void readStream(request, listener, abort.signal).then(
    (error) => abort.signal.aborted || listener.onEnd(error),
    (error: unknown) => abort.signal.aborted || listener.onEnd(toStreamError(error)),
  );
  return { close: () => abort.abort(), listen: () => undefined };
}

async function readStream(request: StreamRequest, listener: TransportListener, signal: AbortSignal) {
  const response = await fetch(request.url, {
    headers: { Accept: "text/event-stream", ...request.headers },
    credentials: request.withCredentials ? "include" : "same-origin",
    cache: "no-store",
    signal,
  });
  if (response.status !== 200) return errorOf(response);
  if (response.body === null || !response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    return { status: 200, message: "the answer is not an event stream", retryAfterMs: null };
  }
  listener.onOpen();
  let events: RawEvent[] = [];
  const parser = createParser({
    maxBufferSize: MAX_EVENT_SIZE,
    onEvent: ({ event, data, id }) => events.push([event || "quote", data, id ?? ""]),
    onRetry: listener.onRetry,
  });
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done || signal.aborted) return null;
    listener.onBytes();
    parser.feed(decoder.decode(value, { stream: true }));
    if (events.length > 0) listener.onEvents(events);
    events = [];
  }
}
