import { words } from "../words";
import type { Verdict } from "./check";
import { type Field, isField } from "./fields";

interface Saying {
  text: string;
  verdict: Verdict;
  running: string; // the filter that is watched: how many match it is told elsewhere, and live
}

/** What the filter means, or what is wrong with it: told to who cannot see it, too. */
export function Said(saying: Saying) {
  return (
    <div id="verdict" class="verdict" aria-live="polite" data-kind={saying.verdict.kind}>
      <Words {...saying} />
    </div>
  );
}

function Words({ text, verdict, running }: Saying) {
  const { screener: say } = words.value;
  if (verdict.kind === "none") return <p class="muted">{text ? "" : say.intro}</p>;
  if (verdict.kind === "wrong") {
    const { detail, hint, position } = verdict.problem;
    return (
      <p>
        {position !== undefined && <span class="muted">{say.at(position + 1)} </span>}
        {detail}
        {hint && <em> ({hint})</em>}
      </p>
    );
  }
  const { filter, fields, symbols, cost } = verdict.answer;
  const named = fields.filter(isField).map((field: Field) => say.fields[field]);
  const parts = [
    running !== verdict.text.trim() && <strong>{say.now(symbols.length)}</strong>,
    filter !== verdict.text.trim() && (
      <>
        <span class="muted">{say.means}</span> <code>{filter}</code>
      </>
    ),
    named.length > 0 && <span class="muted">{`${say.looksAt} ${named.join(say.comma)}`}</span>,
    cost === "calculated" && <span class="muted">{say.calculated}</span>,
  ];
  return (
    <p class="facts">
      {parts.filter(Boolean).map((part, at) => (
        <span key={at}>{part}</span>
      ))}
    </p>
  );
}
