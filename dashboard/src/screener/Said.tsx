import { words } from "../words";
import type { Verdict } from "./check";
import { type Field, isField } from "./fields";

/** What the filter means, or what is wrong with it: told to who cannot see it, too. */
export function Said({ text, verdict }: { text: string; verdict: Verdict }) {
  return (
    <div id="verdict" class="verdict" aria-live="polite" data-kind={verdict.kind}>
      <Words text={text} verdict={verdict} />
    </div>
  );
}

function Words({ text, verdict }: { text: string; verdict: Verdict }) {
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
  return (
    <p>
      <strong>{say.now(symbols.length)}</strong>
      {filter !== verdict.text.trim() && (
        <>
          {" · "}
          <span class="muted">{say.means}</span> <code>{filter}</code>
        </>
      )}
      {" · "}
      <span class="muted">
        {say.looksAt} {named.join(say.comma)}
        {cost === "calculated" && ` · ${say.calculated}`}
      </span>
    </p>
  );
}
