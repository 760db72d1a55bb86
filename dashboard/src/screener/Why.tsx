import { useEffect, useState } from "preact/hooks";
import { instruments } from "../live/market";
import { words } from "../words";
import { check, type Explained } from "./check";

/** Ask of one symbol why it matches or why not. */
export function Why({ filter }: { filter: string }) {
  const { screener: say } = words.value;
  const [symbol, setSymbol] = useState("");
  const [found, setFound] = useState<Explained | string | null>(null); // or the server's words
  useEffect(() => setFound(null), [filter]);
  const question = async (): Promise<void> => {
    try {
      setFound((await check(filter, symbol.trim())).explained);
    } catch (error) {
      setFound(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <section class="card why">
      <h2>{say.why}</h2>
      <form
        class="naming"
        onSubmit={(event) => {
          event.preventDefault();
          void question();
        }}
      >
        <input
          list="why-symbols"
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
        <button type="submit">{say.ask}</button>
      </form>
      <datalist id="why-symbols">
        {[...instruments.value.keys()].map((each) => (
          <option key={each} value={each} />
        ))}
      </datalist>
      <div aria-live="polite">{found !== null && <Answer found={found} />}</div>
    </section>
  );
}

function Answer({ found }: { found: Explained | string }) {
  const { screener: say } = words.value;
  if (typeof found === "string") return <p>{found}</p>;
  if (!found.traded) return <p>{words.value.chart.empty(found.symbol)}</p>;
  return (
    <>
      <p>{found.matches ? say.isIn(found.symbol) : say.isOut(found.symbol)}</p>
      <ul>
        {found.reasons.map(({ condition, values, holds }) => (
          <li key={condition} data-holds={holds}>
            <b>
              <span aria-hidden="true">{holds ? "✓" : "✗"}</span>
              <span class="unseen">{holds ? say.holds : say.fails}</span>
            </b>
            <span>
              <code>{condition}</code>
              <small class="numbers">
                {Object.entries(values)
                  .map(([field, value]) => `${field} ${value ?? say.missing}`)
                  .join(" · ")}
              </small>
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}
