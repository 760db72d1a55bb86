import { words } from "../words";
import { type Result, result } from "./simulator";

/** What became of what was asked here last. */
export function Outcome({ of }: Pick<Result, "of">) {
  const last = result.value?.of === of ? result.value : null;
  return (
    <p class="outcome" role="status" data-bad={!!last?.error}>
      {last && (last.error || words.value.market.done)}
    </p>
  );
}
