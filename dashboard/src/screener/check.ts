import { useEffect, useState } from "preact/hooks";
import { ask, Refusal } from "../api/http";
import type { Problem } from "../api/types";

/** What the server says of a filter that is one. */
export interface Checked {
  filter: string; // the normal form
  fields: string[];
  cost: "bounds" | "calculated";
  symbols: string[]; // that match now
  explained: Explained | null;
}

export interface Explained {
  symbol: string;
  traded: boolean;
  matches: boolean;
  reasons: { condition: string; values: Record<string, number | string | null>; holds: boolean }[];
}

/** What is known of what was typed. While one types on, the answer to what stood there before is kept as it was. */
export type Verdict =
  | { kind: "none" }
  | { kind: "valid"; text: string; answer: Checked }
  | { kind: "wrong"; text: string; problem: Partial<Problem> };

const PAUSE = 200; // ms without a key until the server is asked

export const check = (filter: string, symbol: string | null = null, signal: AbortSignal | null = null) =>
  ask<Checked>("v1/screens/check", { method: "POST", json: { filter, symbol }, signal });

/** Ask about the text whenever one pauses (ms). */
export function useVerdict(text: string, pause = PAUSE): Verdict {
  const [verdict, setVerdict] = useState<Verdict>({ kind: "none" });
  useEffect(() => {
    if (!text.trim()) {
      setVerdict({ kind: "none" });
      return;
    }
    const stop = new AbortController();
    const timer = window.setTimeout(async () => {
      const found = await verdictOn(text, stop.signal);
      if (!stop.signal.aborted) setVerdict(found);
    }, pause);
    return () => {
      window.clearTimeout(timer);
      stop.abort();
    };
  }, [text, pause]);
  return verdict;
}

export async function verdictOn(text: string, signal: AbortSignal | null = null): Promise<Verdict> {
  try {
    return { kind: "valid", text, answer: await check(text, null, signal) };
  } catch (error) {
    if (error instanceof Refusal && error.status === 400) return { kind: "wrong", text, problem: error.problem };
    return { kind: "none" }; // the server is away: the header says so
  }
}
