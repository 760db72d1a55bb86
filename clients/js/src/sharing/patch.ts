import { errorOf, type StreamError, toStreamError } from "../transports/transport.ts";

/** The part of a subscription that can change while the stream runs. `interval` is in ms. */
export interface Changeable {
  symbols: string[];
  interval: number;
}

/** Change the subscription of a running stream. Return the error if the server does not accept the change. */
export async function changeSubscription(
  url: string,
  { symbols, interval }: Changeable,
  headers: Record<string, string>,
  withCredentials: boolean,
): Promise<StreamError | null> {
  try {
    const response = await fetch(url, {
      method: "PATCH",
      headers: { "Content-Type": "application/json", ...headers },
      credentials: withCredentials ? "include" : "same-origin",
      body: JSON.stringify({ symbols, interval: interval === 0 ? "0" : `${interval}ms` }),
    });
    return response.ok ? null : await errorOf(response);
  } catch (error) {
    return toStreamError(error);
  }
}

export const equal = (first: Changeable | null, second: Changeable): boolean =>
  first !== null && first.interval === second.interval && first.symbols.join() === second.symbols.join();
