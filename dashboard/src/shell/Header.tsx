import { signOut, token } from "../api/session";
import { connection, connectionDetail, mode, status, welcome } from "../live/market";
import { words } from "../words";
import { href } from "./route";
import { Settings } from "./Settings";

export function Header() {
  return (
    <header class="top">
      <a class="brand" href={href("board")} aria-label="Tickwire">
        <Logo />
        <span>Tickwire</span>
      </a>
      <ModeLabel />
      <FeedLabel />
      <span class="spring" />
      <ConnectionLabel />
      {token.value !== null && (
        <button type="button" class="quiet" onClick={() => signOut()}>
          {words.value.signIn.out}
        </button>
      )}
      <Settings />
    </header>
  );
}

/** Whether prices are real: nobody may take made-up ones for the market. */
function ModeLabel() {
  if (mode.value === null) return null;
  const { modes, modeNote } = words.value;
  return (
    <strong class="mode" data-mode={mode.value} title={modeNote[mode.value]}>
      {modes[mode.value]}
    </strong>
  );
}

/** What is out of the ordinary with the feed: silent, halted, paused, another speed, a delay. */
function FeedLabel() {
  const { feed, delayed } = words.value;
  const delay = welcome.value?.delay ?? 0;
  const state = status.value?.state ?? "running";
  const speed = status.value?.speed ?? 1;
  const said = [
    state !== "running" && feed[state],
    state === "running" && speed !== 1 && `${speed}×`,
    delay > 0 && delayed(delay < 60 ? `${delay} s` : `${Math.round(delay / 60)} min`),
  ].filter(Boolean);
  if (said.length === 0) return null;
  return (
    <span class="feed" data-state={state}>
      {said.join(" · ")}
    </span>
  );
}

function ConnectionLabel() {
  const state = connection.value;
  return (
    <a class="connection" href={href("connection")} data-state={state} title={connectionDetail.value}>
      <i aria-hidden="true" />
      <span role="status" id="state">
        {words.value.states[state]}
      </span>
    </a>
  );
}

function Logo() {
  return (
    <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
      <rect width="32" height="32" rx="7" />
      <path d="M5 20h5l3-9 5 14 4-11 2 6h3" />
    </svg>
  );
}
