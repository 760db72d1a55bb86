import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Suggestions } from "../combobox/Suggestions";
import { useCombobox } from "../combobox/useCombobox";
import { instruments } from "../live/marketData";
import { words } from "../words";
import { type Completion, complete, type Option } from "./completion";
import { ErrorMarker } from "./ErrorMarker";
import { FilterFeedback } from "./FilterFeedback";
import { type Field, isField, type TextField } from "./fieldNames";
import type { Verdict } from "./filterCheck";

const LIST = "filter-suggestions";
const NO_COMPLETION: Completion = { from: 0, to: 0, typed: "", options: [] };

interface FilterInputProps {
  text: string;
  onText: (text: string) => void;
  verdict: Verdict;
  running: string; // the filter that runs now
}

/** The input for a filter, with suggestions, a marker at an error, and an explanation of the filter. */
export function FilterInput({ text, onText, verdict, running }: FilterInputProps) {
  const box = useRef<HTMLInputElement>(null);
  const [completion, setCompletion] = useState(NO_COMPLETION);
  // The caret position to set after the next render.
  const caret = useRef<number | null>(null);
  const list = useCombobox(LIST, completion.options.length, -1, pick);
  const { screener: labels } = words.value;
  const shownVerdict = list.open && isBeingTyped(verdict, completion, text) ? ({ kind: "none" } as const) : verdict;

  useLayoutEffect(() => {
    if (caret.current === null || !box.current) return;
    box.current.setSelectionRange(caret.current, caret.current);
    caret.current = null;
  });

  function suggest(field: HTMLInputElement, value: string, position: number): void {
    const next = complete(value, position, valuesOf, labels.aliases);
    setCompletion(next);
    list.setActive(enterRunsFilter(next) ? -1 : 0);
    list.setOpen(document.activeElement === field);
  }

  function pick(index: number): void {
    const option = completion.options[index];
    const field = box.current;
    if (!option || !field) return;
    const added = option.text.endsWith("(") ? option.text : `${option.text} `;
    const rest = text.slice(completion.to).replace(/^ /, "");
    const value = text.slice(0, completion.from) + added + rest;
    caret.current = completion.from + added.length;
    onText(value);
    suggest(field, value, caret.current);
  }

  return (
    <div class="combobox expression">
      <input
        ref={box}
        id="filter"
        type="text"
        {...list.aria}
        aria-label={labels.filter}
        aria-describedby="verdict"
        aria-invalid={shownVerdict.kind === "wrong"}
        placeholder={labels.placeholder}
        maxLength={4000}
        autocomplete="off"
        autocapitalize="none"
        autocorrect="off"
        spellcheck={false}
        enterkeyhint="go"
        value={text}
        onInput={({ currentTarget: field }) => {
          onText(field.value);
          suggest(field, field.value, field.selectionStart ?? field.value.length);
        }}
        onBlur={() => list.setOpen(false)}
        onKeyDown={(event) => {
          const field = event.currentTarget;
          const opensList = (event.key === "ArrowDown" && !list.open) || (event.key === " " && event.ctrlKey);
          if (opensList) {
            suggest(field, text, field.selectionStart ?? text.length);
            list.setActive(0);
            event.preventDefault();
          } else if (!list.onKey(event) && event.key === "Enter" && !event.isComposing) {
            // Close the list. The form also receives this key press, and runs the filter.
            list.setOpen(false);
          }
        }}
      />
      <ErrorMarker box={box} text={text} verdict={shownVerdict} />
      <FilterFeedback text={text} verdict={shownVerdict} running={running} />
      {list.open && (
        <Suggestions
          id={LIST}
          label={labels.suggestions}
          active={list.active}
          onPick={pick}
          options={completion.options.map((option) => ({ key: option.text, shown: <OptionText option={option} /> }))}
        />
      )}
    </div>
  );
}

/** Whether Enter runs the filter instead of picking a suggestion: after a space, or when the word is complete. */
const enterRunsFilter = ({ typed, options }: Completion): boolean =>
  typed === "" || options.some((option) => option.text.toLowerCase() === typed.toLowerCase());

/**
 * Whether the only error is at the word that the user is typing. At this word, the suggestions are more helpful than
 * the error.
 */
const isBeingTyped = (verdict: Verdict, { from, typed }: Completion, text: string): boolean =>
  verdict.kind === "wrong" && typed !== "" && verdict.problem.position === [...text.slice(0, from)].length;

function OptionText({ option: { text, kind } }: { option: Option }) {
  const { fields, functions, operators, aliases } = words.value.screener;
  const about = isField(text) ? fields[text as Field] : (functions[text] ?? operators[text] ?? aliases[text] ?? "");
  return (
    <>
      <code data-kind={kind}>{text}</code>
      <span class="spring" />
      <small>{about}</small>
    </>
  );
}

/** Return the distinct values of a field among the instruments, sorted. */
function valuesOf(field: TextField): string[] {
  const values = [...instruments.value.values()].map((each) => each[field]);
  return [...new Set(values.filter((value) => value !== null))].sort();
}
