import { decimalsFor } from "../board/decimals";
import { price } from "../format/numbers";
import { timeOfDay } from "../format/times";
import { href } from "../shell/route";
import { words } from "../words";
import type { Matches, Move } from "./matches";

/** Who came and went, and when nobody could be heard of; newest first. */
export function MoveLog({ matches }: { matches: Matches }) {
  const { screener: say } = words.value;
  void matches.beat.value;
  const { log } = matches;
  return (
    <section class="card moves">
      <header>
        <h2>{say.moves}</h2>
        {log.length > 1 && (
          <button type="button" class="quiet" onClick={() => matches.clearLog()}>
            {say.clear}
          </button>
        )}
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled with keys */}
      <ol tabIndex={0} aria-label={say.moves}>
        {log.map((move) => (
          <li key={move.id} data-what={move.what}>
            <time class="numbers">{timeOfDay(move.at)}</time> <Line move={move} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function Line({ move }: { move: Move }) {
  const { screener: say } = words.value;
  if (move.what === "matches") return <span class="muted">{say.matched(move.count)}</span>;
  if (!("symbol" in move)) return <span class="muted">{say.breaks[move.what]}</span>;
  return (
    <>
      <b>{say.move[move.what]}</b> <a href={href("chart", [move.symbol])}>{move.symbol}</a>
      <span class="numbers muted">{price(move.quote.last, decimalsFor(move.quote))}</span>
    </>
  );
}
