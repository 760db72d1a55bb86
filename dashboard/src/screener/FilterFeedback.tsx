import { words } from "../words";
import { serverText } from "../words/serverText";
import { type Field, isField } from "./fieldNames";
import type { Verdict } from "./filterCheck";

interface FilterFeedbackProps {
  text: string;
  verdict: Verdict;
  running: string; // the filter that runs now; the summary shows its number of matches live
}

/** The meaning of the filter, or its error. Screen readers announce both. */
export function FilterFeedback(saying: FilterFeedbackProps) {
  return (
    <div id="verdict" class="verdict" aria-live="polite" data-kind={saying.verdict.kind}>
      <FeedbackText {...saying} />
    </div>
  );
}

function FeedbackText({ text, verdict, running }: FilterFeedbackProps) {
  const { screener: labels } = words.value;
  if (verdict.kind === "none") return <p class="muted">{text ? "" : labels.intro}</p>;
  if (verdict.kind === "wrong") {
    const { detail, hint, position } = verdict.problem;
    return (
      <p>
        {position !== undefined && <span class="muted">{labels.atCharacter(position + 1)} </span>}
        {detail && serverText(detail)}
        {hint && <em> ({serverText(hint)})</em>}
      </p>
    );
  }
  const { filter, fields, symbols, cost } = verdict.answer;
  const named = fields.filter(isField).map((field: Field) => labels.fields[field]);
  const parts = [
    running !== verdict.text.trim() && <strong>{labels.matchCount(symbols.length)}</strong>,
    filter !== verdict.text.trim() && (
      <>
        <span class="muted">{labels.means}</span> <code>{filter}</code>
      </>
    ),
    named.length > 0 && <span class="muted">{`${labels.uses} ${named.join(labels.comma)}`}</span>,
    cost === "calculated" && <span class="muted">{labels.calculated}</span>,
  ];
  return (
    <p class="facts">
      {parts.filter(Boolean).map((part, at) => (
        <span key={at}>{part}</span>
      ))}
    </p>
  );
}
