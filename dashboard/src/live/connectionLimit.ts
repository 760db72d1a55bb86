import { signal } from "@preact/signals";

/** The maximum number of HTTP/1.1 connections that a browser, with all of its tabs, opens to one host. */
const MAX_CONNECTIONS = 6;

/**
 * Whether the streams of all tabs occupy every connection. Any further request then waits, including the requests of a
 * new tab.
 */
export const connectionsExhausted = signal(false);

/** Store the number of streams that all tabs have together. */
export function reportConnections(connections: number): void {
  connectionsExhausted.value = usesHttp1() && connections >= MAX_CONNECTIONS;
}

/** Whether the limit applies: HTTP/2 and HTTP/3 carry all streams on one connection. */
function usesHttp1(): boolean {
  const [page] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return !/^h[23]/.test(page?.nextHopProtocol ?? "");
}
