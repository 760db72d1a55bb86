import { effect, signal } from "@preact/signals";
import type { StreamEvent } from "@tickwire/client";
import { signInReason, token } from "../api/session";
import type { Welcome } from "../api/types";
import { type ConnectionState, EventStream } from "../live/eventStream";
import { isText, listOf, pref } from "../shell/prefs";
import { messageText } from "./messageText";

export interface Message {
  id: number;
  /** The time in ms since 1970. */
  at: number;
  name: string;
  text: string;
}

const MAX_MESSAGES = 100;
const MAX_NAMES = 20;

/** The names of the messages that the inbox shows. A stream delivers only events whose names have a handler. */
export const messageNames = pref<string[]>("inbox.names", ["news", "notice", "alert"], listOf(isText), { share: true });

/** The messages since the page was loaded, newest first. */
export const messages = signal<readonly Message[]>([]);
/** The state of the stream of messages; null while the inbox is closed. */
export const inboxState = signal<ConnectionState | null>(null);

/** The id of the last received event. The next stream continues after this event. */
let lastId = "";
let nextId = 0;

// Delete the messages when the user changes, because another user must not read them.
effect(() => {
  if (signInReason.value === null) return;
  messages.value = [];
  lastId = "";
});

export function setMessageNames(text: string): void {
  const names = [...new Set(text.split(/[\s,]+/).filter(Boolean))].slice(0, MAX_NAMES);
  if (names.length > 0) messageNames.value = names;
}

/** Open the stream of messages. Return the function that closes it. */
export function openInbox(names: readonly string[]): () => void {
  const openedFor = token.value;
  const handlers = names.map(
    (name) => [name, (_: unknown, event: StreamEvent) => add(name, messageText(event.text))] as const,
  );
  const stream = new EventStream(
    { events: ["message"], ...(lastId && { since: lastId }) },
    {
      events: {
        ...Object.fromEntries(handlers),
        welcome: ({ head }: Welcome) => {
          lastId ||= head;
        },
      },
      state: (state) => {
        inboxState.value = state;
      },
    },
  );
  return () => {
    if (signInReason.value === null && token.value === openedFor) lastId = stream.lastId || lastId;
    stream.close();
    inboxState.value = null;
  };
}

function add(name: string, text: string): void {
  const message = { id: nextId++, at: Date.now(), name, text };
  messages.value = [message, ...messages.value.slice(0, MAX_MESSAGES - 1)];
}
