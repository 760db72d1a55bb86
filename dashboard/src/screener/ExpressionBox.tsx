import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Suggestions } from "../choose/Suggestions";
import { useList } from "../choose/useList";
import { instruments } from "../live/market";
import { words } from "../words";
import type { Verdict } from "./check";
import { type Completion, complete, type Option } from "./completion";
import { type Field, isField, type TextField } from "./fields";
import { Mark } from "./Mark";
import { Said } from "./Said";

const LIST = "continuations";
const NOTHING: Completion = { from: 0, to: 0, typed: "", options: [] };

interface Writing {
  text: string;
  write: (text: string) => void;
  verdict: Verdict;
  running: string; // the filter that is watched
}

/** The box for a filter: it suggests how to go on, shows where it is wrong, and says what it means. */
export function ExpressionBox({ text, write, verdict, running }: Writing) {
  const box = useRef<HTMLInputElement>(null);
  const [completion, setCompletion] = useState(NOTHING);
  const caret = useRef<number | null>(null); // where to put it once the text is there
  const list = useList(LIST, completion.options.length, -1, take);
  const { screener: say } = words.value;
  const said = list.open && unfinished(verdict, completion, text) ? ({ kind: "none" } as const) : verdict;

  useLayoutEffect(() => {
    if (caret.current === null || !box.current) return;
    box.current.setSelectionRange(caret.current, caret.current);
    caret.current = null;
  });

  function suggest(field: HTMLInputElement, value: string, at: number): void {
    const found = complete(value, at, valuesOf);
    setCompletion(found);
    list.setActive(unmarked(found) ? -1 : 0);
    list.setOpen(document.activeElement === field);
  }

  function take(place: number): void {
    const option = completion.options[place];
    const field = box.current;
    if (!option || !field) return;
    const added = option.text.endsWith("(") ? option.text : `${option.text} `;
    const rest = text.slice(completion.to).replace(/^ /, "");
    const value = text.slice(0, completion.from) + added + rest;
    caret.current = completion.from + added.length;
    write(value);
    suggest(field, value, caret.current);
  }

  return (
    <div class="chooser expression">
      <input
        ref={box}
        id="filter"
        type="text"
        {...list.aria}
        aria-label={say.filter}
        aria-describedby="verdict"
        aria-invalid={said.kind === "wrong"}
        placeholder={say.placeholder}
        maxLength={4000}
        autocomplete="off"
        autocapitalize="none"
        autocorrect="off"
        spellcheck={false}
        enterkeyhint="go"
        value={text}
        onInput={({ currentTarget: field }) => {
          write(field.value);
          suggest(field, field.value, field.selectionStart ?? field.value.length);
        }}
        onBlur={() => list.setOpen(false)}
        onKeyDown={(event) => {
          const field = event.currentTarget;
          const asked = (event.key === "ArrowDown" && !list.open) || (event.key === " " && event.ctrlKey);
          if (asked) {
            suggest(field, text, field.selectionStart ?? text.length);
            list.setActive(0);
            event.preventDefault();
          } else if (!list.onKey(event) && event.key === "Enter" && !event.isComposing) {
            list.setOpen(false); // and the form runs the filter
          }
        }}
      />
      <Mark box={box} text={text} verdict={said} />
      <Said text={text} verdict={said} running={running} />
      {list.open && (
        <Suggestions
          id={LIST}
          label={say.continuations}
          active={list.active}
          take={take}
          options={completion.options.map((option) => ({ key: option.text, shown: <Shown option={option} /> }))}
        />
      )}
    </div>
  );
}

/** Whether Enter runs the filter, not a suggestion: after a space, and where a word is there that may stay as it is. */
const unmarked = ({ typed, options }: Completion): boolean =>
  typed === "" || options.some((option) => option.text.toLowerCase() === typed.toLowerCase());

/** Whether it is only wrong where one is writing a word: what is suggested says more. */
const unfinished = (verdict: Verdict, { from, typed }: Completion, text: string): boolean =>
  verdict.kind === "wrong" && typed !== "" && verdict.problem.position === [...text.slice(0, from)].length;

function Shown({ option: { text, kind } }: { option: Option }) {
  const { fields, functions, operators } = words.value.screener;
  const about = isField(text) ? fields[text as Field] : (functions[text] ?? operators[text] ?? "");
  return (
    <>
      <code data-kind={kind}>{text}</code>
      <span class="spring" />
      <small>{about}</small>
    </>
  );
}

/** The texts that instruments have there, each once. */
function valuesOf(field: TextField): string[] {
  const found = [...instruments.value.values()].map((each) => each[field]);
  return [...new Set(found.filter((value) => value !== null))].sort();
}
