import { useEffect } from "preact/hooks";
import { shortTime } from "../format/times";
import { words } from "../words";
import { inboxState, messageNames, messages, openInbox, setMessageNames } from "./inbox";

/** The messages that programs and operators send to the readers. The stream is open while the view is open. */
export function Messages() {
  const { alerts: labels, states } = words.value;
  const names = messageNames.value;
  useEffect(() => openInbox(names), [names]);
  const state = inboxState.value;
  return (
    <section class="card inbox">
      <header>
        <h2>{labels.messages}</h2>
        {state !== null && state !== "open" && <small>{states[state]}</small>}
      </header>
      <label class="field wide">
        <span>{labels.messageNames}</span>
        <input
          type="text"
          value={names.join(", ")}
          spellcheck={false}
          autocapitalize="none"
          onChange={({ currentTarget }) => setMessageNames(currentTarget.value)}
        />
      </label>
      {messages.value.length === 0 && <p class="muted">{labels.noMessages}</p>}
      <ul aria-live="polite">
        {messages.value.map(({ id, at, name, text }) => (
          <li key={id}>
            <time>{shortTime(at)}</time>
            <span>
              <b>{name}</b> {text}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
