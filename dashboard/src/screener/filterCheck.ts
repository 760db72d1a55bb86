import { useEffect, useState } from "preact/hooks";
import { HttpError, request } from "../api/http";
import type { FilterCheckResult, Problem } from "../api/types";

/** The result of checking a text. While the user types on, the result for the earlier text stays. */
export type Verdict =
  | { kind: "none" }
  | { kind: "valid"; text: string; answer: FilterCheckResult }
  | { kind: "wrong"; text: string; problem: Partial<Problem> };

/** The filter is checked after a pause in typing. */
const TYPING_PAUSE_MS = 200;

export const checkFilter = (filter: string, symbol: string | null = null, signal: AbortSignal | null = null) =>
  request<FilterCheckResult>("v1/screens/check", { method: "POST", json: { filter, symbol }, signal });

/** Check a text after each pause of `pause` ms in typing. */
export function useVerdict(text: string, pause = TYPING_PAUSE_MS): Verdict {
  const [verdict, setVerdict] = useState<Verdict>({ kind: "none" });
  useEffect(() => {
    if (!text.trim()) {
      setVerdict({ kind: "none" });
      return;
    }
    const abort = new AbortController();
    const timer = window.setTimeout(async () => {
      const result = await fetchVerdict(text, abort.signal);
      if (!abort.signal.aborted) setVerdict(result);
    }, pause);
    return () => {
      window.clearTimeout(timer);
      abort.abort();
    };
  }, [text, pause]);
  return verdict;
}

export async function fetchVerdict(text: string, signal: AbortSignal | null = null): Promise<Verdict> {
  try {
    return { kind: "valid", text, answer: await checkFilter(text, null, signal) };
  } catch (error) {
    if (error instanceof HttpError && error.status === 400) return { kind: "wrong", text, problem: error.problem };
    // Show no verdict, because the header already shows that the server does not answer.
    return { kind: "none" };
  }
}
