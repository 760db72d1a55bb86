import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Verdict } from "./filterCheck";

interface ErrorMarkerProps {
  box: RefObject<HTMLInputElement | null>;
  text: string;
  verdict: Verdict;
}

/**
 * A caret under the character at which the filter is wrong. An invisible copy of the filter's text up to this character
 * moves the caret to the right place in any script. The caret scrolls with the input.
 */
export function ErrorMarker({ box, text, verdict }: ErrorMarkerProps) {
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
  // The server's position counts code points, not UTF-16 units.
  const before = wrong ? [...text].slice(0, verdict.problem.position).join("") : "";
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
