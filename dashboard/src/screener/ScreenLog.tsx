import { decimalsFor } from "../board/decimals";
import { price } from "../format/numbers";
import { shortTime } from "../format/times";
import { href } from "../shell/route";
import { words } from "../words";
import type { MatchStream, ScreenLogEntry } from "./matchStream";

/** The symbols that entered and left, and the interruptions of the stream; newest first. */
export function ScreenLog({ matches }: { matches: MatchStream }) {
  const { screener: labels } = words.value;
  void matches.revision.value;
  const { log } = matches;
  return (
    <section class="card screen-log">
      <header>
        <h2>{labels.log}</h2>
        {log.length > 1 && (
          <button type="button" class="quiet" onClick={() => matches.clearLog()}>
            {labels.clear}
          </button>
        )}
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled with keys */}
      <ol tabIndex={0} aria-label={labels.log}>
        {log.map((entry) => (
          <li key={entry.id} data-kind={entry.kind}>
            <time class="numbers">{shortTime(entry.at)}</time> <EntryText entry={entry} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function EntryText({ entry }: { entry: ScreenLogEntry }) {
  const { screener: labels } = words.value;
  if (entry.kind === "matches") return <span class="muted">{labels.snapshot(entry.count)}</span>;
  if (!("symbol" in entry)) return <span class="muted">{labels.interruptions[entry.kind]}</span>;
  return (
    <>
      <b>{labels.moves[entry.kind]}</b> <a href={href("chart", [entry.symbol])}>{entry.symbol}</a>
      {entry.quote && <span class="numbers muted">{price(entry.quote.last, decimalsFor(entry.quote))}</span>}
    </>
  );
}
