import type { RawEvent } from "../events.ts";

/** An HTTP request, without its body. `url` is absolute. */
export interface StreamRequest {
  url: string;
  headers: Record<string, string>;
  /** Whether the browser sends its cookies to another origin. */
  withCredentials: boolean;
}

/** The reason why a connection failed. `status` is 0 if there was no answer. */
export interface StreamError {
  status: number;
  message: string;
  retryAfterMs: number | null;
}

export interface TransportListener {
  /** The server accepted the request. */
  onOpen: () => void;
  /** Bytes arrived, perhaps of a heartbeat. */
  onBytes: () => void;
  onEvents: (events: RawEvent[]) => void;
  /** The stream contained a `retry` field. */
  onRetry: (ms: number) => void;
  /** The connection ended. `error` is null if an accepted stream ended without an error. No other callback follows. */
  onEnd: (error: StreamError | null) => void;
}

export interface Connection {
  close(): void;
  /** Receive events with these names. The names of the server's own events are always received. */
  listen(names: Iterable<string>): void;
}

/** Open a connection. `renew` returns the same request with fresh credentials, because a ticket is valid once. */
export type OpenConnection = (
  request: StreamRequest,
  listener: TransportListener,
  renew: () => Promise<StreamRequest>,
) => Connection;

/** Return the error in an answer other than 200. */
export async function errorOf(response: Response): Promise<StreamError> {
  const problem = (await response.json().catch(() => ({}))) as { detail?: string; title?: string };
  const seconds = Number(response.headers.get("Retry-After"));
  return {
    status: response.status,
    message: problem.detail ?? problem.title ?? `HTTP ${response.status}`,
    retryAfterMs: seconds > 0 ? seconds * 1000 : null,
  };
}

/** Return the error of a request without an answer. An object that already is a StreamError is returned as it is. */
export function toStreamError(error: unknown): StreamError {
  if (typeof error === "object" && error !== null && "status" in error) return error as StreamError;
  return { status: 0, message: error instanceof Error ? error.message : String(error), retryAfterMs: null };
}
