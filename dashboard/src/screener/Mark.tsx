import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Verdict } from "./check";

interface Marking {
  box: RefObject<HTMLInputElement | null>;
  text: string;
  verdict: Verdict;
}

/**
 * A caret under the character at which the filter is wrong. The text before it is there once more, unseen, so that it
 * stands right in any script; it scrolls with the box.
 */
export function Mark({ box, text, verdict }: Marking) {
  const line = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const field = box.current;
    const follow = (): void => {
      if (line.current && field) line.current.scrollLeft = field.scrollLeft;
    };
    follow();
    field?.addEventListener("scroll", follow);
    return () => field?.removeEventListener("scroll", follow);
  }, [box]);
  const wrong = verdict.kind === "wrong" && verdict.text === text && verdict.problem.position !== undefined;
  const before = wrong ? [...text].slice(0, verdict.problem.position).join("") : ""; // positions count characters
  return (
    <div class="mark" ref={line} aria-hidden="true">
      {wrong && (
        <>
          <span>{before}</span>
          <b data-end={before.trimEnd() === text.trimEnd() || undefined}>^</b>
        </>
      )}
    </div>
  );
}
