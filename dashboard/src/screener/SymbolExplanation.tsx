import { useEffect, useState } from "preact/hooks";
import type { SymbolExplanation as Explanation } from "../api/types";
import { instruments } from "../live/marketData";
import { words } from "../words";
import { checkFilter } from "./filterCheck";

/** The form that explains why a symbol matches the filter or does not. */
export function SymbolExplanation({ filter }: { filter: string }) {
  const { screener: labels } = words.value;
  const [symbol, setSymbol] = useState("");
  // A string is an error message.
  const [result, setResult] = useState<Explanation | string | null>(null);
  useEffect(() => setResult(null), [filter]);
  const explain = async (): Promise<void> => {
    try {
      setResult((await checkFilter(filter, symbol.trim())).explained);
    } catch (error) {
      setResult(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <section class="card explanation">
      <h2>{labels.explain}</h2>
      <form
        class="naming"
        onSubmit={(event) => {
          event.preventDefault();
          void explain();
        }}
      >
        <input
          list="explained-symbols"
          name="symbol"
          required
          value={symbol}
          placeholder={words.value.chart.symbol}
          aria-label={words.value.chart.symbol}
          autocomplete="off"
          autocapitalize="characters"
          spellcheck={false}
          onInput={(event) => setSymbol(event.currentTarget.value)}
        />
        <button type="submit">{labels.check}</button>
      </form>
      <datalist id="explained-symbols">
        {[...instruments.value.keys()].map((each) => (
          <option key={each} value={each} />
        ))}
      </datalist>
      <div aria-live="polite">{result !== null && <Answer result={result} />}</div>
    </section>
  );
}

function Answer({ result }: { result: Explanation | string }) {
  const { screener: labels } = words.value;
  if (typeof result === "string") return <p>{result}</p>;
  if (!result.traded) return <p>{words.value.chart.noTrades(result.symbol)}</p>;
  return (
    <>
      <p>{result.matches ? labels.symbolMatches(result.symbol) : labels.symbolDoesNotMatch(result.symbol)}</p>
      <ul>
        {result.reasons.map(({ condition, values, holds }) => (
          <li key={condition} data-holds={holds}>
            <b>
              <span aria-hidden="true">{holds ? "✓" : "✗"}</span>
              <span class="visually-hidden">{holds ? labels.conditionTrue : labels.conditionFalse}</span>
            </b>
            <span>
              <code>{condition}</code>
              <small class="numbers">
                {Object.entries(values)
                  .map(([field, value]) => `${field} ${value ?? labels.unknownValue}`)
                  .join(" · ")}
              </small>
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}
