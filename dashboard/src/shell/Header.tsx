import { signOut, token } from "../api/session";
import { elapsed, shortTime } from "../format/times";
import { connection, connectionDetail, mode, stale, status, tokenExpiry, trouble, welcome } from "../live/marketData";
import { openDialog } from "../palette/paletteKeys";
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
      <button
        type="button"
        class="quiet search"
        aria-label={words.value.palette.title}
        title={`${words.value.palette.title} (Ctrl K)`}
        onClick={() => {
          openDialog.value = { name: "palette", text: "" };
        }}
      >
        <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
          <path d="M9 14.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11zM13 13l4 4" />
        </svg>
      </button>
      <ConnectionLabel />
      {tokenExpiry.value !== null && (
        <span class="feed" role="status">
          {words.value.signIn.expiresAt(shortTime(tokenExpiry.value))}
        </span>
      )}
      {token.value !== null && (
        <button type="button" class="quiet" onClick={() => signOut()}>
          {words.value.signIn.signOut}
        </button>
      )}
      <Settings />
    </header>
  );
}

/**
 * The label of simulated, replayed or live prices, so that nobody takes simulated prices for prices of a real market.
 */
function ModeLabel() {
  if (mode.value === null) return null;
  const { modes, modeNote } = words.value;
  return (
    <strong class="mode" data-mode={mode.value} title={modeNote[mode.value]}>
      {modes[mode.value]}
    </strong>
  );
}

/** The unusual conditions of the feed: its state unless it is running, a speed other than 1, a delay. */
function FeedLabel() {
  const { feed, delayed } = words.value;
  const delay = welcome.value?.delay ?? 0;
  const state = status.value?.state ?? "running";
  const speed = status.value?.speed ?? 1;
  const parts = [
    state !== "running" && feed[state],
    state === "running" && speed !== 1 && `${speed}×`,
    delay > 0 && delayed(elapsed(delay)),
  ].filter(Boolean);
  if (parts.length === 0) return null;
  return (
    <span class="feed" data-state={state}>
      {parts.join(" · ")}
    </span>
  );
}

/**
 * The state of the connection, or the reason why its prices may be old. On phones, the label appears only while prices
 * may be old.
 */
function ConnectionLabel() {
  const { states, freshness } = words.value;
  const state = connection.value;
  const reason = stale.value;
  const old = reason === "offline" || reason === "silent" || reason === "late" ? reason : null;
  const seconds = trouble.value?.seconds;
  return (
    <a
      class="connection"
      href={href("connection")}
      data-state={state}
      data-old={old ?? undefined}
      title={connectionDetail.value}
    >
      <i aria-hidden="true" />
      {old && seconds !== undefined && <span aria-hidden="true">{freshness[old](seconds)}</span>}
      {/* The text for screen readers has no seconds, because a screen reader would announce every second. */}
      <span role="status" id="state" class={old && seconds !== undefined ? "visually-hidden" : ""}>
        {old ? freshness.announced[old] : states[state]}
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
