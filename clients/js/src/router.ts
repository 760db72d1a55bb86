import type { EventMap } from "./events.ts";

/** The envelope of an event: its name, its id ("" if it has none) and the JSON text of its data. */
export interface StreamEvent {
  name: string;
  id: string;
  text: string;
}

/** The type of an event's data. The sender of a message chooses its data, so their type is unknown. */
export type EventData<Name extends string> = Name extends keyof EventMap ? EventMap[Name] : unknown;
export type Handler<Data> = (data: Data, event: StreamEvent) => void;

type AnyHandler = Handler<never>;

/** Calls the handlers of an event. An error in a handler is reported, and does not affect the other handlers. */
export class EventRouter {
  private readonly handlers = new Map<string, Set<AnyHandler>>();
  private defaultHandler: AnyHandler | null = null;

  get names(): string[] {
    return [...this.handlers.keys()];
  }

  add(name: string, handler: AnyHandler): void {
    const handlers = this.handlers.get(name) ?? new Set();
    this.handlers.set(name, handlers.add(handler));
  }

  remove(name: string, handler: AnyHandler): void {
    this.handlers.get(name)?.delete(handler);
  }

  /** Set the handler of all events without a handler of their own. */
  setDefault(handler: AnyHandler | null): void {
    this.defaultHandler = handler;
  }

  dispatch(data: unknown, event: StreamEvent): void {
    const handlers = this.handlers.get(event.name);
    // The copy allows handlers to remove themselves.
    const called = handlers?.size ? [...handlers] : this.defaultHandler ? [this.defaultHandler] : [];
    for (const handler of called) callSafely(handler as Handler<unknown>, data, event);
  }
}

/** Call a function of the application. Report an error like an uncaught one. */
export function callSafely<Args extends unknown[]>(call: (...args: Args) => void, ...args: Args): void {
  try {
    call(...args);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
